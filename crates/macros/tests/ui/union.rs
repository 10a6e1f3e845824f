use windlass_macros::Job;

#[derive(Job)]
#[job(crate = "windlass_runtime")]
union Either {
    a: u32,
    b: f32,
}

fn main() {}
