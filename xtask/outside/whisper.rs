//! A project outside the workspace with llama.cpp and whisper.cpp in one binary.

fn main() {
    println!("text: {}", mullama::system_info().trim());
    println!("speech: {}", mullama::audio::whisper_system_info().trim());
}
