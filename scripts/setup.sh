# Sourced by ./demo and ./check: makes sure that this machine can build Tessera.
# Installs Debian or Ubuntu packages and, when there is no Rust, Rust through rustup; says what it does before it does it.
# Elsewhere it prints what is missing and stops. Set TESSERA_SETUP=check to have it only look.

packages="build-essential ca-certificates curl ffmpeg git libclang-dev pkg-config
libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev libavutil-dev libswresample-dev libswscale-dev
libegl1 libgl1-mesa-dri libvulkan1 libxkbcommon-x11-0 mesa-vulkan-drivers"
# The last line draws the window: on the screen, and without one in tests (Mesa's software rasteriser).
# `./check` adds test_packages.
rust_minor=95 # Cargo.toml's rust-version, 1.95

say() { printf '%s\n' "$*" >&2; }
stop() { say "tessera: $*"; exit 1; }

missing_packages() {
  for package in $packages ${test_packages:-}; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
  done
}

install_packages() {
  if ! command -v dpkg-query >/dev/null 2>&1; then
    missing=""
    for tool in cc pkg-config ffmpeg; do command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"; done
    for library in libavcodec libavdevice libavfilter libavformat libavutil libswresample libswscale; do
      pkg-config --exists "$library" 2>/dev/null || missing="$missing $library"
    done
    [ -z "$missing" ] && return 0
    stop "this is not Debian or Ubuntu, so nothing was installed. Missing:$missing. Needed: a C compiler, pkg-config, libclang, and FFmpeg 5.1 or newer with its development files."
  fi
  missing=$(missing_packages)
  [ -z "$missing" ] && return 0
  if [ "$(id -u)" = 0 ]; then as_root=""
  elif command -v sudo >/dev/null 2>&1; then as_root="sudo"
  else stop "these packages are missing and installing them needs root: apt-get install $missing"; fi
  [ "${TESSERA_SETUP:-}" = check ] && stop "missing packages: $missing"
  say "Installing Debian packages: $missing"
  $as_root apt-get update -qq || stop "apt-get update failed: see above"
  # shellcheck disable=SC2086 # a list of names
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    stop "apt-get install failed: see above"
}

install_rust() {
  if ! command -v cargo >/dev/null 2>&1 && [ -f "${CARGO_HOME:-$HOME/.cargo}/env" ]; then
    . "${CARGO_HOME:-$HOME/.cargo}/env"
  fi
  if ! command -v cargo >/dev/null 2>&1; then
    [ "${TESSERA_SETUP:-}" = check ] && stop "Rust is missing"
    say "Installing Rust with rustup (rust-lang.org's installer) into ${CARGO_HOME:-$HOME/.cargo} and ${RUSTUP_HOME:-$HOME/.rustup}"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --profile default --no-modify-path >&2 ||
      stop "rustup could not be fetched or failed; install Rust 1.$rust_minor or newer by hand and run this again"
    . "${CARGO_HOME:-$HOME/.cargo}/env"
  fi
  minor=$(rustc --version | sed 's/^rustc 1\.\([0-9]*\).*/\1/')
  [ "$minor" -ge "$rust_minor" ] 2>/dev/null ||
    stop "Rust 1.$rust_minor or newer is needed, found '$(rustc --version)': run 'rustup update stable'"
}

install_packages
install_rust
