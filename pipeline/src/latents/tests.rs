use super::*;

fn description() -> Description {
    Description {
        version: 1,
        program: "tessera 0".into(),
        request: Request { prompt: "a ball".into(), ..Request::default() },
        model: "toybox".into(),
        fingerprint: "abc".into(),
        sampler: "unipc".into(),
        shape: [1, 2, 1, 2, 3],
        denoised: Some(Denoised { steps: 2, of: 20 }),
    }
}

fn some() -> Tensor {
    Tensor::arange(0.0f32, 12.0, &Device::Cpu).unwrap().reshape((1, 2, 1, 2, 3)).unwrap()
}

#[test]
fn what_was_saved_comes_back_and_equal_input_gives_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.safetensors"), folder.path().join("b.safetensors"));
    save(&a, &some(), &description()).unwrap();
    save(&b, &some(), &description()).unwrap();
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    let back = read(&a).unwrap();
    assert_eq!(back.description, Some(description()));
    assert_eq!(back.latents.dims(), [1, 2, 1, 2, 3]);
    let values = back.latents.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values, (0..12).map(|v| v as f32).collect::<Vec<_>>());
}

#[test]
fn a_failed_save_leaves_the_old_file_and_no_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    save(&path, &some(), &description()).unwrap();
    let before = std::fs::read(&path).unwrap();
    let failed = write_atomically(&path, |out| {
        out.write_all(b"half of a")?;
        Err(std::io::Error::other("the plug was pulled"))
    });
    assert!(failed.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a rest was left behind");
    let nowhere = folder.path().join("no/such/folder.safetensors");
    assert!(save(&nowhere, &some(), &description()).is_err());
}

fn write(path: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    let views: Vec<_> = tensors
        .iter()
        .map(|(n, d, s, b)| (*n, TensorView::new(*d, s.clone(), b).unwrap()))
        .collect();
    let bytes = safetensors::serialize(views, None).unwrap();
    write_atomically(path, |out| out.write_all(&bytes)).unwrap();
}

#[test]
fn a_bare_file_is_taken_and_wrong_ones_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let half: Vec<u8> =
        [1.0, -2.0].iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    write(&path, &[("noise", Dtype::F16, vec![1, 1, 1, 2], half)]);
    let back = read(&path).unwrap();
    assert!(back.description.is_none());
    assert_eq!(back.latents.dims(), [1, 1, 1, 1, 2]);
    assert_eq!(back.latents.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1.0, -2.0]);

    let told = |tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]| {
        write(&path, tensors);
        read(&path).unwrap_err().to_string()
    };
    let nan = f32::NAN.to_le_bytes().to_vec();
    assert!(told(&[("a", Dtype::F32, vec![1, 1, 1, 1], nan)]).contains("NaN"));
    assert!(told(&[("a", Dtype::U8, vec![1, 1, 1, 1], vec![0])]).contains("f32, f16, bf16 or f64"));
    assert!(told(&[("a", Dtype::F32, vec![1], vec![0; 4])]).contains("[1, C, T, h, w]"));
    let two = [
        ("a", Dtype::F32, vec![1, 1, 1, 1], vec![0; 4]),
        ("b", Dtype::F32, vec![1, 1, 1, 1], vec![0; 4]),
    ];
    assert!(told(&two).contains("it has 2"));
    write_atomically(&path, |out| out.write_all(b"not safetensors")).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("not a whole safetensors file"));
    assert!(read(&folder.path().join("absent")).is_err());
}
