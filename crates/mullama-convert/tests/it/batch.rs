//! Many files at once: each with its own result, stopped and taken up again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use mullama_convert::{
    BatchConverter, BatchReport, ConversionConfig, Error, FileOutcome, FileReport, ImageConverter, StopButton,
    TargetFormat,
};

use crate::image::tools::picture;

/// A folder with this many pictures, the first byte of whose pixels is their number.
fn pictures(count: u8) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let files = (0..count).map(|number| {
        let mut image = picture(120, 90, false);
        image[(0, 0)].0[0] = number;
        let path = folder.path().join(format!("{number:03}.bmp"));
        image.save(&path).unwrap();
        path
    });
    let files = files.collect();
    (folder, files)
}

/// Whole seconds of a 440 Hz tone, mono, 16 bits.
fn tone(path: &Path, seconds: u32) {
    let rate = 44_100_u32;
    let samples = (0..rate * seconds)
        .map(|n| ((f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin() * 20_000.0) as i16);
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let length = u32::try_from(data.len()).unwrap();
    let mut file =
        [b"RIFF".as_slice(), &(length + 36).to_le_bytes(), b"WAVEfmt ", &16_u32.to_le_bytes(), &[1, 0, 1, 0]].concat();
    file.extend([rate.to_le_bytes(), (rate * 2).to_le_bytes()].concat());
    file.extend([2, 0, 16, 0]);
    file.extend([b"data".as_slice(), &length.to_le_bytes(), &data].concat());
    fs::write(path, file).unwrap();
}

fn png() -> BatchConverter {
    BatchConverter::new("png".parse().unwrap(), ConversionConfig::new())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn counts(report: &BatchReport) -> [usize; 4] {
    [report.converted, report.skipped, report.failed, report.stopped]
}

#[test]
fn each_file_has_its_own_result_in_the_order_of_the_jobs() {
    let (folder, mut files) = pictures(12);
    fs::write(folder.path().join("text.bmp"), "no picture at all").unwrap();
    files.insert(3, folder.path().join("text.bmp"));
    files.insert(7, folder.path().join("missing.bmp"));
    let out = folder.path().join("made/for/it");
    let batch = png();
    let jobs = batch.plan(files.clone(), &out);
    let told = Mutex::new(Vec::new());
    let report = batch.run(&jobs, &StopButton::new(), |progress| {
        assert_eq!(progress.of, 14);
        assert!(progress.bytes <= progress.of_bytes);
        if let Some(result) = progress.result {
            told.lock().unwrap().push((progress.files, result.input.clone()));
        }
    });
    let report = report.unwrap();
    assert_eq!(counts(&report), [12, 0, 2, 0]);
    for (index, (result, input)) in report.files.iter().zip(&files).enumerate() {
        assert_eq!(result.input, *input);
        match (&result.outcome, index) {
            (FileOutcome::Failed { error }, 3) => assert!(matches!(error, Error::UnknownFormat { .. }), "{error}"),
            (FileOutcome::Failed { error }, 7) => {
                assert!(matches!(error, Error::File { action: "open", .. }), "{error}");
            }
            (FileOutcome::Converted { report }, _) => {
                assert!(matches!(&**report, FileReport::Image(report) if report.output.width == 120));
                let alone = ImageConverter::new().load_and_convert_blocking(
                    input,
                    mullama_convert::ImageFormatType::PNG,
                    &ConversionConfig::new(),
                );
                assert_eq!(alone.unwrap().bytes(), fs::read(&result.output).unwrap(), "{index}");
            }
            (outcome, _) => panic!("{index}: {outcome:?}"),
        }
    }
    let told = told.into_inner().unwrap();
    assert_eq!(told.iter().map(|(files, _)| *files).collect::<Vec<_>>(), (1..=14).collect::<Vec<_>>());
    let mut ended: Vec<_> = told.into_iter().map(|(_, input)| input).collect();
    ended.sort();
    files.sort();
    assert_eq!(ended, files);
    assert_eq!(names(&out).len(), 12, "{:?}", names(&out));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["files"][0]["outcome"], "converted");
    assert_eq!(json["files"][0]["report"]["image"]["output"]["format"], "png");
    assert!(json["files"][7]["error"].as_str().unwrap().contains("missing.bmp"), "{}", json["files"][7]);
}

#[test]
fn a_stopped_batch_is_taken_up_where_it_was() {
    let (folder, files) = pictures(40);
    let out = folder.path().join("out");
    let batch = png().threads(2.try_into().unwrap()).resume(true);
    let jobs = batch.plan(files, &out);
    let stop = StopButton::new();
    let first = batch
        .run(&jobs, &stop, |progress| {
            if progress.files == 5 {
                stop.press();
            }
        })
        .unwrap();
    assert!((4..=7).contains(&first.converted) && first.failed == 0, "{:?}", counts(&first));
    assert_eq!(first.converted + first.stopped, 40);
    // Nothing but whole files under their own names.
    assert_eq!(names(&out).len(), first.converted);
    names(&out).iter().for_each(|name| drop(image::open(out.join(name)).unwrap()));
    let done: Vec<_> =
        names(&out).iter().map(|name| fs::metadata(out.join(name)).unwrap().modified().unwrap()).collect();
    let names_then = names(&out);

    let second = batch.run(&jobs, &StopButton::new(), |_| ()).unwrap();
    assert_eq!(counts(&second), [40 - first.converted, first.converted, 0, 0]);
    let again: Vec<_> =
        names_then.iter().map(|name| fs::metadata(out.join(name)).unwrap().modified().unwrap()).collect();
    assert_eq!(done, again, "files that were done were written again");

    // A source that changed since is due again; without leave to overwrite that is a failure.
    let later = SystemTime::now() + Duration::from_secs(60);
    fs::File::options().append(true).open(&jobs[0].input).unwrap().set_modified(later).unwrap();
    let third = batch.run(&jobs, &StopButton::new(), |_| ()).unwrap();
    assert_eq!(counts(&third), [0, 39, 1, 0]);
    let fresh = BatchConverter::new(batch.target(), ConversionConfig::new().overwrite(true)).resume(true);
    assert_eq!(counts(&fresh.run(&jobs, &StopButton::new(), |_| ()).unwrap()), [1, 39, 0, 0]);
}

#[test]
fn two_files_that_would_become_one_are_told() {
    let (folder, files) = pictures(1);
    let other = folder.path().join("000.tiff");
    image::open(&files[0]).unwrap().save(&other).unwrap();
    let batch = png();
    let jobs = batch.plan([files[0].clone(), other], &folder.path().join("out"));
    let report = batch.run(&jobs, &StopButton::new(), |_| ()).unwrap();
    assert_eq!(counts(&report), [1, 0, 1, 0]);
    let FileOutcome::Failed { error: Error::SameTarget { first, .. } } = &report.files[1].outcome else {
        panic!("{:?}", report.files[1])
    };
    assert_eq!(*first, files[0]);
}

#[test]
fn sound_goes_the_same_way_and_tells_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..3).map(|number| folder.path().join(format!("{number}.wav"))).collect();
    files.iter().for_each(|path| tone(path, 20));
    let batch = BatchConverter::new("flac".parse().unwrap(), ConversionConfig::new()).threads(1.try_into().unwrap());
    let jobs = batch.plan(files, &folder.path().join("out"));
    let seen = Mutex::new(Vec::new());
    let report = batch.run(&jobs, &StopButton::new(), |progress| seen.lock().unwrap().push(progress.bytes)).unwrap();
    assert_eq!(counts(&report), [3, 0, 0, 0], "{report:?}");
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.last(), Some(&jobs.iter().map(|job| job.bytes).sum()));
    for result in &report.files {
        let FileOutcome::Converted { report } = &result.outcome else { panic!("{result:?}") };
        let FileReport::Audio(report) = &**report else { panic!("{result:?}") };
        assert_eq!((report.output.frames, report.output.sample_rate), (20 * 44_100, 44_100));
        assert!(fs::read(&result.output).unwrap().starts_with(b"fLaC"));
    }
}

#[test]
fn sound_under_way_stops_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.wav");
    tone(&long, 600);
    let batch = BatchConverter::new("mp3".parse().unwrap(), ConversionConfig::new());
    let jobs = batch.plan([long], &folder.path().join("out"));
    let stop = StopButton::new();
    let (report, since) = std::thread::scope(|scope| {
        let worker = scope.spawn(|| batch.run(&jobs, &stop, |_| ()).unwrap());
        std::thread::sleep(Duration::from_millis(300));
        let pressed = std::time::Instant::now();
        stop.press();
        (worker.join().unwrap(), pressed.elapsed())
    });
    assert_eq!(counts(&report), [0, 0, 0, 1]);
    assert!(since < Duration::from_secs(1), "{since:?}");
    assert_eq!(names(&folder.path().join("out")), Vec::<String>::new());
}

#[tokio::test]
async fn a_dropped_batch_stops() {
    let (folder, files) = pictures(60);
    let out = folder.path().join("out");
    let batch = png().threads(1.try_into().unwrap());
    let jobs = batch.plan(files, &out);
    let stop = StopButton::new();
    let run = batch.run_async(jobs.clone(), stop.clone(), |_| ());
    assert!(tokio::time::timeout(Duration::from_millis(20), run).await.is_err(), "it was too fast to be dropped");
    assert!(stop.is_pressed());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let left = names(&out);
    assert!(left.len() < 60 && left.iter().all(|name| name.ends_with(".png")), "{left:?}");
    let fresh = StopButton::new();
    let report = batch.resume(true).run_async(jobs, fresh.clone(), |_| ()).await.unwrap();
    assert_eq!((report.converted, report.skipped), (60 - left.len(), left.len()));
    assert!(!fresh.is_pressed());
}

#[test]
fn targets_are_named_by_their_extensions() {
    for name in ["wav", "flac", "mp3", "aac", "m4a", "ogg", "opus", "jpg", "png", "webp", "tiff", "bmp"] {
        let target: TargetFormat = name.parse().unwrap();
        assert_eq!(target.extension(), name);
        assert!(target.takes(Path::new(&format!("x.{}", name.to_uppercase()))));
    }
    assert_eq!("JPEG".parse::<TargetFormat>().unwrap().extension(), "jpg");
    for name in ["gif", "qoi", "txt", ""] {
        assert!(matches!(name.parse::<TargetFormat>(), Err(Error::UnknownTarget { .. })), "{name}");
    }
}
