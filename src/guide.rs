//! The guide's chapters: their code is compiled and run with the documentation
//! tests.

macro_rules! chapters {
    ($($name:ident = $file:literal;)*) => {$(
        #[doc = include_str!(concat!("../docs/src/", $file))]
        mod $name {}
    )*};
}

chapters! {
    start = "start.md";
    jobs = "jobs.md";
    limits = "limits.md";
    schedules = "schedules.md";
    failure = "failure.md";
    durable = "durable.md";
    growing = "growing.md";
    testing = "testing.md";
    backend = "backend.md";
    promises = "promises.md";
    coming = "coming.md";
}
