-- In:  ?1 dependent that is removed.
-- Out: nothing.
-- Why: nobody can ask for them any more.
DELETE FROM windlass_dependencies WHERE dependent = ?1
