//! `setup`: finds what is missing and installs it with the system's package manager, saying first what and why.

use std::path::Path;

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use self::Found::{File, Libclang, Program, Runs};

/// What the machine is to be made ready for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    Demo,
    Test,
    Peers,
}

/// Whether what is missing is installed or only named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Install,
    Check,
}

pub(crate) fn run(sh: &Shell, purpose: Purpose, mode: Mode) -> Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| need.from <= purpose && !need.found.holds(sh)).collect();
    if !missing.is_empty() {
        println!("setup: {} missing:", missing.len());
        missing.iter().for_each(|need| println!("  {:<16} {}", need.names[0], need.why));
    }
    let deny = purpose == Purpose::Test && !succeeds(sh, &["cargo", "deny", "--version"]);
    if deny {
        println!("setup: cargo-deny {CARGO_DENY} missing: checks licences, bans and sources");
    }
    if mode == Mode::Check && (deny || !missing.is_empty()) {
        bail!("something is missing; `cargo xtask setup` without --check installs it");
    }
    if !missing.is_empty() {
        install(sh, &missing)?;
        if let Some(need) = missing.iter().find(|need| !need.found.holds(sh)) {
            bail!("`{}` was installed but is still not found; see the package manager's output above", need.names[0]);
        }
    }
    if purpose == Purpose::Test {
        for component in ["fmt", "clippy"] {
            if !succeeds(sh, &["cargo", component, "--version"]) {
                bail!("`cargo {component}` does not run; do: rustup component add rustfmt clippy");
            }
        }
    }
    if deny {
        println!("setup: building cargo-deny {CARGO_DENY} from source (about four minutes, once)");
        cmd!(sh, "cargo install --locked --no-default-features --version {CARGO_DENY} cargo-deny").run()?;
    }
    println!("setup: all is there");
    Ok(())
}

fn install(sh: &Shell, missing: &[&Need]) -> Result<()> {
    let Some(manager) = MANAGERS.iter().position(|manager| on_path(manager.program)) else {
        bail!("no known package manager here; install the programs named above by hand");
    };
    let names: Vec<&str> = missing.iter().flat_map(|need| need.names[manager].split_whitespace()).collect();
    let list = names.join(" ");
    if manager != APT {
        bail!("setup installs by itself on Debian and Ubuntu only; likely: {} {list}", MANAGERS[manager].install);
    }
    let root = cmd!(sh, "id -u").quiet().read()? == "0";
    if !root && !succeeds(sh, &["sudo", "-n", "true"]) {
        bail!("installing needs root; do: sudo apt-get update && sudo apt-get install --no-install-recommends {list}");
    }
    println!("setup: installing with apt-get{}: {list}", if root { "" } else { " (through sudo)" });
    let (program, args): (_, &[&str]) = if root { ("env", &[]) } else { ("sudo", &["-n", "env"]) };
    let apt =
        |rest: &[&str]| sh.cmd(program).args(args).args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(rest).run();
    apt(&["update", "-q"])?;
    apt(&[&["install", "-y", "-q", "--no-install-recommends"], &names[..]].concat())?;
    Ok(())
}

/// Whether a program of this name lies on PATH.
pub(crate) fn on_path(program: &str) -> bool {
    let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(&file).is_file()))
}

fn succeeds(sh: &Shell, command: &[&str]) -> bool {
    let [program, args @ ..] = command else { return false };
    sh.cmd(program).args(args).quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

struct Need {
    from: Purpose,
    why: &'static str,
    found: Found,
    /// Package names in the order of [`MANAGERS`]; empty where the system has it anyway.
    names: [&'static str; 5],
}

enum Found {
    Program(&'static [&'static str]),
    File(&'static str),
    Runs(&'static [&'static str]),
    Libclang,
}

impl Found {
    fn holds(&self, sh: &Shell) -> bool {
        match self {
            Program(names) => names.iter().all(|name| on_path(name)),
            File(path) => !cfg!(target_os = "linux") || Path::new(path).exists(),
            Runs(command) => succeeds(sh, command),
            Libclang => {
                // The library alone is not enough: bindgen reads clang's own headers too.
                let script = "ls -d /usr/lib/llvm-*/lib/libclang*.so* /usr/lib*/libclang.so* /usr/lib/*/libclang*.so* \
                    /Library/Developer/CommandLineTools/usr/lib/libclang.dylib /opt/homebrew/opt/llvm/lib/libclang.dylib \
                    2>/dev/null | grep -q . && ls -d /usr/lib*/clang/*/include/stddef.h \
                    /usr/lib/llvm-*/lib/clang/*/include/stddef.h /opt/homebrew/opt/llvm/lib/clang/*/include/stddef.h \
                    /Library/Developer/CommandLineTools/usr/lib/clang/*/include/stddef.h 2>/dev/null | grep -q .";
                std::env::var_os("LIBCLANG_PATH").is_some() || succeeds(sh, &["sh", "-c", script])
            }
        }
    }
}

struct Manager {
    program: &'static str,
    install: &'static str,
}

const APT: usize = 0;
const MANAGERS: [Manager; 5] = [
    Manager { program: "apt-get", install: "apt-get install" },
    Manager { program: "dnf", install: "sudo dnf install" },
    Manager { program: "pacman", install: "sudo pacman -S --needed" },
    Manager { program: "zypper", install: "sudo zypper install" },
    Manager { program: "brew", install: "brew install" },
];

const CARGO_DENY: &str = "0.20.2";

#[rustfmt::skip]
const NEEDS: &[Need] = &[
    Need { from: Purpose::Demo, why: "compiles llama.cpp and whisper.cpp", found: Program(&["g++", "make"]),
        names: ["build-essential", "gcc-c++ make", "base-devel", "gcc-c++ make", "gcc make"] },
    Need { from: Purpose::Demo, why: "configures their builds", found: Program(&["cmake"]),
        names: ["cmake", "cmake", "cmake", "cmake", "cmake"] },
    Need { from: Purpose::Demo, why: "bindgen reads the C headers with it", found: Libclang,
        names: ["libclang-dev", "clang-devel", "clang", "clang-devel", "llvm"] },
    Need { from: Purpose::Demo, why: "finds system libraries", found: Program(&["pkg-config"]),
        names: ["pkg-config", "pkgconf-pkg-config", "pkgconf", "pkgconf-pkg-config", "pkgconf"] },
    Need { from: Purpose::Demo, why: "microphone and loudspeaker (ALSA)", found: File("/usr/include/alsa/asoundlib.h"),
        names: ["libasound2-dev", "alsa-lib-devel", "alsa-lib", "alsa-devel", ""] },
    Need { from: Purpose::Demo, why: "makes every second build of the C++ cheap", found: Program(&["ccache"]),
        names: ["ccache", "ccache", "ccache", "ccache", "ccache"] },
    Need { from: Purpose::Demo, why: "lists the project's files for the checks", found: Program(&["git"]),
        names: ["git", "git", "git", "git", "git"] },
    Need { from: Purpose::Test, why: "Python packages for the lane `clients`, in the target folder",
        found: Runs(&["python3", "-c", "import ensurepip, venv"]),
        names: ["python3-venv", "python3", "python", "python3", "python"] },
    Need { from: Purpose::Test, why: "reads and makes pictures to compare with", found: Program(&["identify"]),
        names: ["imagemagick", "ImageMagick", "imagemagick", "ImageMagick", "imagemagick"] },
    Need { from: Purpose::Test, why: "the oracles of the tests of sound",
        found: Program(&["ffmpeg", "ffprobe", "sox", "flac", "lame", "opusenc", "opusdec", "ogginfo"]),
        names: ["ffmpeg sox libsox-fmt-all flac lame opus-tools vorbis-tools", "ffmpeg sox flac lame opus-tools vorbis-tools",
            "ffmpeg sox flac lame opus-tools vorbis-tools", "ffmpeg sox flac lame opus-tools vorbis-tools",
            "ffmpeg sox flac lame opus-tools vorbis-tools"] },
    Need { from: Purpose::Test, why: "reads and writes the pictures' metadata", found: Program(&["exiftool"]),
        names: ["libimage-exiftool-perl", "perl-Image-ExifTool", "perl-image-exiftool", "exiftool", "exiftool"] },
    Need { from: Purpose::Test, why: "has colour profiles; the image bench's other side", found: Program(&["vips"]),
        names: ["libvips-tools", "vips-tools", "libvips", "vips-tools", "vips"] },
    Need { from: Purpose::Peers, why: "builds llama.cpp's own programs", found: Program(&["ninja"]),
        names: ["ninja-build", "ninja-build", "ninja", "ninja", "ninja"] },
];
