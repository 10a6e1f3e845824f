-- In which form the store is kept.
-- answer     ok, the form or nothing
-- why        a program that knows another form would misread what is there
-- with       base
return { 'ok', redis.call('HGET', K.store, 'format') }
