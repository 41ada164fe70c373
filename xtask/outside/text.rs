//! A project outside the workspace that uses text only.

fn main() {
    println!("text: {}", mullama::system_info().trim());
}
