//! What is the SQLite backend's own; the contract is judged by the suite.
