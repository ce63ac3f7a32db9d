//! With the feature `cuda`: compiles the CUDA C++ kernels to fatbinaries that `src/cuda` embeds. Without it: nothing.

use std::{env, ffi::OsString, path::PathBuf, process::Command};

/// What runs on every architecture of `PORTABLE`.
const ANYWHERE: &[&str] = &[
    "src/channel_norm/cuda/channel_norm.cu",
    "src/conv/cuda/conv.cu",
    "src/keep/cuda/keep.cu",
    "src/levels/cuda/density.cu",
    "src/linear/cuda/epilogue.cu",
    "src/norm/cuda/norm.cu",
    "src/order/cuda/gather.cu",
    "src/pyramid/cuda/lists.cu",
    "src/pyramid/cuda/pool.cu",
    "src/pyramid/cuda/portable.cu",
    "src/rope/cuda/rope.cu",
    "src/scores/cuda/products.cu",
    "src/scores/cuda/runs.cu",
    "src/scores/pooling/cuda/losses.cu",
    "src/scores/pooling/cuda/spreads.cu",
    "src/select/cuda/rows.cu",
    "src/select/ladder/cuda/ladder.cu",
];
/// What uses instructions that Hopper alone has.
const HOPPER: [&str; 2] = ["src/conv/cuda/conv_hopper.cu", "src/pyramid/cuda/hopper.cu"];
/// Architectures that get machine code where the compiler knows them; the newest also as PTX, for what comes after.
const PORTABLE: [u32; 6] = [80, 86, 89, 90, 100, 120];
/// Those of [`PORTABLE`] that are wanted alone, as in `90` or `80,90`: a build for one machine takes a sixth of the time.
const ONLY: &str = "TESSERA_CUDA_ARCHITECTURES";
const HEADERS: &[&str] = &[
    "src/cuda/chunk.cuh",
    "src/cuda/mma.cuh",
    "src/cuda/ptx.cuh",
    "src/cuda/wgmma.cuh",
    "src/pyramid/cuda/hopper_load.cuh",
    "src/pyramid/cuda/softmax.cuh",
    "src/pyramid/cuda/stream.cuh",
    "src/pyramid/cuda/hopper_tile.cuh",
    "src/pyramid/cuda/work.cuh",
    "src/scores/cuda/tile.cuh",
    "src/select/cuda/rank.cuh",
];

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    for variable in ["CUDA_HOME", "CUDA_PATH", ONLY] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    for file in ANYWHERE.iter().chain(&HOPPER).chain(HEADERS) {
        println!("cargo:rerun-if-changed={file}");
    }
    let nvcc = nvcc();
    let known = run(Command::new(&nvcc).arg("--list-gpu-code"))?;
    let knows = |name: &str| known.lines().any(|line| line.trim() == name);
    let only = env::var(ONLY).unwrap_or_default();
    let is_wanted = |number: u32| {
        only.is_empty() || only.split(',').any(|one| one.trim() == number.to_string())
    };
    let portable: Vec<u32> = PORTABLE
        .into_iter()
        .filter(|number| is_wanted(*number) && knows(&format!("sm_{number}")))
        .collect();
    let Some(newest) = portable.last() else {
        let asked = if only.is_empty() { String::new() } else { format!(" ({ONLY} is {only})") };
        return Err(format!("{}: knows none of sm_80 to sm_120{asked}: {known}", nvcc.display()));
    };
    let mut targets: Vec<String> = portable
        .iter()
        .map(|number| format!("-gencode=arch=compute_{number},code=sm_{number}"))
        .collect();
    targets.push(format!("-gencode=arch=compute_{newest},code=compute_{newest}"));
    for file in ANYWHERE {
        compile(&nvcc, file, &targets)?;
    }
    for file in HOPPER {
        compile(&nvcc, file, &["-gencode=arch=compute_90a,code=sm_90a".to_owned()])?;
    }
    Ok(())
}

/// The compiler of CUDA_HOME or CUDA_PATH, else that of PATH.
fn nvcc() -> PathBuf {
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os);
    let homes = homes.chain([OsString::from("/usr/local/cuda")]);
    homes
        .map(|home| PathBuf::from(home).join("bin").join("nvcc"))
        .find(|nvcc| nvcc.is_file())
        .unwrap_or_else(|| PathBuf::from("nvcc"))
}

fn compile(nvcc: &PathBuf, file: &str, targets: &[String]) -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let name = PathBuf::from(file).with_extension("fatbin");
    let name = name.file_name().ok_or_else(|| format!("{file} is no file"))?;
    let mut command = Command::new(nvcc);
    command.args(["-std=c++17", "-O3", "-lineinfo", "-fatbin", "-Xfatbin", "-compress-all"]);
    command.args(targets).arg(file).arg("-o").arg(out.join(name));
    run(&mut command).map(|_| ())
}

/// What a command prints; an error says what to do.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| {
        format!(
            "{command:?}: {error}. The feature `cuda` needs NVIDIA's compiler: set CUDA_HOME, or run scripts/cuda-toolchain and source the file it names"
        )
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}
