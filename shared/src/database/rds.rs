//! What Amazon's names for databases tell, and the certificates of the servers behind them.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Certificates under lines `# region`. How it is made says `roots/rds.sh`.
const CERTIFICATES: &str = include_str!("../roots/rds.pem");

/// A host name of RDS or Aurora: an instance, a cluster or a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RdsHost<'a> {
    /// `None` for a name that is for all regions, as that of a global cluster.
    pub(super) region: Option<&'a str>,
}

impl<'a> RdsHost<'a> {
    /// Of a name in small letters. Recognises `name.id.region.rds.amazonaws.com`, and China's `name.id.rds.region.amazonaws.com.cn`.
    pub(super) fn parse(host: &'a str) -> Option<Self> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let region = if let Some(rest) = host.strip_suffix(".rds.amazonaws.com") {
            last_label(rest)
        } else {
            let rest = host.strip_suffix(".amazonaws.com.cn")?;
            match last_label(rest) {
                "rds" => last_label(rest.strip_suffix(".rds")?),
                region => {
                    rest.strip_suffix(region)?.strip_suffix(".rds.")?;
                    region
                }
            }
        };
        Some(Self {
            region: is_region(region).then_some(region),
        })
    }
}

/// The certificates that servers of this region are signed by; those of all regions if it is not known.
///
/// A server is of the region in its name: a name is not given to servers elsewhere. A region that opened after
/// the file was made has none, and its servers are not trusted without `sslrootcert`.
pub(super) fn certificates(
    region: Option<&str>,
) -> impl Iterator<Item = Result<CertificateDer<'static>, rustls::pki_types::pem::Error>> {
    let section = match region {
        None => CERTIFICATES,
        Some(region) => CERTIFICATES
            .split_once(&format!("\n# {region}\n"))
            .map_or("", |(_, rest)| {
                rest.split_once("\n#").map_or(rest, |(section, _)| section)
            }),
    };
    CertificateDer::pem_slice_iter(section.as_bytes())
}

fn last_label(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// Such as `eu-central-1` or `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    label.contains('-')
        && label.ends_with(|last: char| last.is_ascii_digit())
        && label
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_the_names_that_rds_gives() {
        for (host, region) in [
            (
                "db.abc123.eu-central-1.rds.amazonaws.com",
                Some("eu-central-1"),
            ),
            (
                "db.cluster-ro-abc123.us-gov-west-1.rds.amazonaws.com",
                Some("us-gov-west-1"),
            ),
            (
                "db.proxy-abc123.us-east-1.rds.amazonaws.com.",
                Some("us-east-1"),
            ),
            (
                "db.abc123.rds.cn-north-1.amazonaws.com.cn",
                Some("cn-north-1"),
            ),
            (
                "db.abc123.cn-north-1.rds.amazonaws.com.cn",
                Some("cn-north-1"),
            ),
            ("db.global-abc123.global.rds.amazonaws.com", None),
        ] {
            assert_eq!(RdsHost::parse(host), Some(RdsHost { region }), "{host}");
        }
    }

    #[test]
    fn other_names_are_not_those_of_rds() {
        for host in [
            "db.example.com",
            "rds.amazonaws.com",
            "db.eu-central-1.rds.amazonaws.com.example.com",
            "db.eu-central-1.xrds.amazonaws.com",
            "db.rdsx.cn-north-1.amazonaws.com.cn",
            "ec2.cn-north-1.amazonaws.com.cn",
            "id.dsql.eu-central-1.on.aws",
            "10.0.0.1",
            "",
        ] {
            assert_eq!(RdsHost::parse(host), None, "{host}");
        }
    }

    #[test]
    fn every_region_of_the_file_has_its_three_certificates() {
        let regions: Vec<&str> = CERTIFICATES
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|title| is_region(title))
            .collect();
        assert!(
            regions.contains(&"eu-central-1") && regions.len() >= 27,
            "{regions:?}"
        );
        let mut total = 0;
        for region in &regions {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(Some(region)) {
                let certificate = certificate.unwrap();
                // The name is in the certificate as readable text.
                let name = format!("Amazon RDS {region} Root CA");
                assert!(
                    certificate
                        .windows(name.len())
                        .any(|window| window == name.as_bytes())
                );
                roots.add(certificate).unwrap();
            }
            assert_eq!(roots.len(), 3, "{region}");
            total += roots.len();
        }
        assert_eq!(certificates(None).count(), total);
        assert_eq!(certificates(Some("xx-nowhere-1")).count(), 0);
    }
}
