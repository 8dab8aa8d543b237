//! The readers on real files of the fixtures, whole, cut, damaged and mixed up. What a checksum guards is cut before it here, or
//! damaged so that it is found; `cargo fuzz` goes behind the checksums.

use std::path::PathBuf;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;

/// Real files for a reader, from the fixtures, each as the reader takes it.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found = Vec::new();
    let mut visit = |path: &Path| {
        let text = path.to_string_lossy();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let bytes = || std::fs::read(path).unwrap();
        let with = |head: &[u8]| [head, bytes().as_slice()].concat();
        match target {
            "index" | "tombstones" if name == target => found.push(bytes()),
            "meta" if name == "meta.json" => found.push(bytes()),
            "segment" if text.contains("/chunks/") => found.push(with(&[0, 8])),
            "wal" if text.contains("/wal/") || text.contains("/wbl/") => found.push(bytes()),
            "head_chunks" if text.contains("/chunks_head/") => found.push(bytes()),
            "job_log" if name.contains("sacct") || name == "runs.csv" || name.contains("scontrol") => {
                found.push(with(&[255]));
                found.push(with(&[0]));
            }
            _ => {}
        }
    };
    walk(&fixtures, &mut visit);
    match target {
        "chunk" => {
            let times: Vec<i64> = (0..120).map(|nth| 1_700_000_000_000 + 15_000 * nth + nth % 3).collect();
            let values: Vec<f64> = (0..120).map(|nth| f64::from(nth * nth % 17) * 1.5).collect();
            found.push([vec![1], crate::tsdb::writer::xor::encode(&times, &values)].concat());
            found.push([vec![4], crate::tsdb::writer::xor2::encode(&times, &values)].concat());
        }
        // The settings that the documentation shows.
        "config" => {
            let page = include_str!("../../docs/configuration.md");
            let shown = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
            found.extend(shown.map(|text| text.as_bytes().to_vec()));
        }
        "dump" => {
            let texts: [(u8, &str); 7] = [
                (
                    0,
                    r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a"},"values":[[1700000000,"1"],[1700000015.5,"NaN"]]}]}}"#,
                ),
                (
                    1,
                    "{__name__=\"up\", job=\"a\\\"b\"} 1 1700000000000\n{__name__=\"up\", job=\"a\\\"b\"} NaN 1700000015000\n",
                ),
                (2, "# TYPE power_watts gauge\npower_watts{node=\"n1\"} 250.5 1700000000.5\n# EOF\n"),
                (3, "# HELP up x\nup{job=\"a\"} 1 1700000000000\nup 2\n"),
                (
                    4,
                    "{\"metric\":{\"__name__\":\"up\"},\"values\":[1,2.5],\"timestamps\":[1700000000000,1700000015000]}\n",
                ),
                (
                    7,
                    "timestamp,metric,value,node\n2024-01-01T00:00:00Z,up,1,n1\n2024-01-01T00:00:15Z,up,2,n1\n",
                ),
                (255, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}"),
            ];
            found.extend(texts.map(|(kind, text)| [&[kind], text.as_bytes()].concat()));
            let parquet = std::fs::read(fixtures.join("parquet/samples.snappy.parquet")).unwrap();
            found.push([vec![8], parquet].concat());
        }
        "intensity" => {
            let texts = [
                "start,gco2e_per_kwh\n2024-01-01T00:00:00Z,300\n2024-01-01T01:00:00Z,310.5\n",
                "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO2eq/kWh (direct),Carbon Intensity gCO2eq/kWh (LCA),Low Carbon Percentage,Renewable Percentage,Data Source,Data Estimated,Data Estimation Method\n2024-01-01 00:00:00,Germany,Germany,DE,250.1,300.2,60,50,x,false,\n",
                r#"{"zone":"DE","history":[{"zone":"DE","carbonIntensity":302,"datetime":"2024-01-01T00:00:00.000Z","isEstimated":false}]}"#,
                r#"{"data":[{"from":"2024-01-01T00:00Z","to":"2024-01-01T00:30Z","intensity":{"forecast":266,"actual":263,"index":"moderate"}}]}"#,
            ];
            found.extend(texts.map(|text| text.as_bytes().to_vec()));
        }
        "pods" => found.push(
            concat!(
                "kube_pod_info\tnamespace=lab\tpod=train-0\tuid=a1\tnode=n1\t1700000000000:1\t1700000060000:1\n",
                "kube_pod_info\tnamespace=lab\tpod=train-0\tuid=b2\tnode=n2\t1700000120000:1\t1700000180000:1\n",
                "kube_pod_start_time\tnamespace=lab\tpod=train-0\tuid=a1\t1700000000000:1699999990\n",
                "kube_pod_completion_time\tnamespace=lab\tpod=train-0\tuid=a1\t1700000060000:1700000050\n",
                "kube_pod_status_phase\tnamespace=lab\tpod=train-0\tuid=a1\tphase=Succeeded\t1700000060000:1\n",
                "kube_pod_labels\tnamespace=lab\tpod=train-0\tlabel_hub_jupyter_org_username=ann\t1700000000000:1\n",
                "kube_pod_container_resource_requests\tnamespace=lab\tpod=train-0\tuid=a1\tresource=cpu\tcontainer=c\t1700000000000:2\n",
                "kube_pod_init_container_resource_requests\tnamespace=lab\tpod=train-0\tresource=nvidia_com_gpu\t1700000000000:1\n",
                "kube_pod_container_resource_requests_cpu_cores\tnamespace=lab\tpod=train-0\t1700000000000:4\n",
            )
            .as_bytes()
            .to_vec(),
        ),
        "selector" => found.push(br#"{__name__=~"node_.*",job!="a\"b",x='y'}"#.to_vec()),
        "host_list" => found.push(b"gpu[001-004,007],login-a[1,3-5]b[01-02]".to_vec()),
        "resources" => found.push(b"billing=8,cpu=8,gres/gpu:a100=2,mem=64G,node=1".to_vec()),
        "wal_record" => {
            found.push([[1_u8].as_slice(), &7_u64.to_be_bytes(), &[1, 1, b'a', 1, b'b']].concat())
        }
        "remote_read_chunks" => found
            .push(vec![0x0a, 0x0c, 0x0a, 0x08, 0x0a, 0x01, b'a', 0x12, 0x03, b'b', b'c', b'd', 0x12, 0x00]),
        "remote_read_samples" => found.push(vec![
            0x0a, 0x0e, 0x0a, 0x0c, 0x0a, 0x06, 0x0a, 0x01, b'a', 0x12, 0x01, b'b', 0x12, 0x02, 0x10, 0x07,
        ]),
        _ => {}
    }
    assert!(!found.is_empty(), "no seed for {target}");
    found
}

fn walk(directory: &Path, visit: &mut dyn FnMut(&Path)) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

#[test]
fn damaged_files_harm_no_reader() {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        for seed in &seeds {
            target(seed);
        }
        for nth in 0..300 {
            let seed = &seeds[nth % seeds.len()];
            // The start of a file has its structure, and short inputs are quick.
            let length = seed.len().min(1 << 14);
            let mut bytes =
                if nth % 2 == 0 { seed[..length].to_vec() } else { seed[seed.len() - length..].to_vec() };
            for _ in 0..random.random_range(0..6_usize) {
                if bytes.is_empty() {
                    break;
                }
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..4_u32) {
                    0 => bytes[at] ^= 1 << random.random_range(0..8_u32),
                    1 => bytes[at] = *[0, 1, 0x7f, 0x80, 0xff].get(random.random_range(0..5_usize)).unwrap(),
                    2 => bytes.truncate(at),
                    _ => {
                        let piece: Vec<u8> = bytes.iter().skip(at).take(16).copied().collect();
                        let to = random.random_range(0..=at);
                        bytes.splice(to..to, piece);
                    }
                }
            }
            target(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_harm_any_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}
