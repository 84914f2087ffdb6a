//! Certificates of authorities of the test's own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};

use crate::Scratch;

/// An authority that nobody trusts who is not told to.
#[derive(Debug)]
pub struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    folder: Scratch,
}

/// A certificate and its key, as texts and as files.
#[derive(Debug)]
pub struct TestCertificate {
    chain: String,
    key: KeyPair,
    authority: String,
    folder: Scratch,
}

impl TestAuthority {
    /// A new one.
    pub fn new() -> Result<Self> {
        let (mut params, key, folder) = (CertificateParams::new(Vec::new())?, KeyPair::generate()?, Scratch::new("authority")?);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, crate::unique("authority"));
        let pem = params.self_signed(&key)?.pem();
        std::fs::write(folder.path().join("ca.pem"), &pem)?;
        Ok(Self { issuer: Issuer::new(params, key), pem, folder })
    }

    /// Its own certificate in PEM form.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The file that has it.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A good certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Result<TestCertificate> {
        self.signed(names, KeyPair::generate()?, |_| ())
    }

    /// The same for the key of another certificate.
    pub fn issue_for(&self, names: &[&str], other: &TestCertificate) -> Result<TestCertificate> {
        self.signed(names, KeyPair::from_pem(&other.key())?, |_| ())
    }

    /// One that was good until some years ago, for the key of another certificate.
    pub fn issue_expired(&self, names: &[&str], other: &TestCertificate) -> Result<TestCertificate> {
        self.signed(names, KeyPair::from_pem(&other.key())?, |params| {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        })
    }

    /// One that will not be good for many years yet, for the key of another certificate.
    pub fn issue_early(&self, names: &[&str], other: &TestCertificate) -> Result<TestCertificate> {
        self.signed(names, KeyPair::from_pem(&other.key())?, |params| params.not_before = date_time_ymd(3000, 1, 1))
    }

    fn signed(&self, names: &[&str], key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Result<TestCertificate> {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
        change(&mut params);
        let chain = params.signed_by(&key, &self.issuer)?.pem();
        let certificate = TestCertificate { chain, key, authority: self.pem.clone(), folder: Scratch::new("certificate")? };
        certificate.write_to(&certificate.chain_file(), &certificate.key_file())?;
        Ok(certificate)
    }
}

impl TestCertificate {
    /// The certificate in PEM form.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// Its key in PEM form.
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// The authority that signed it, in PEM form.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The file that has the certificate.
    pub fn chain_file(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    /// The file that has the key.
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }

    /// Puts both into other files, the certificate first, each as a whole or not at all.
    pub fn write_to(&self, chain: &Path, key: &Path) -> Result<()> {
        replace_file(chain, self.chain())?;
        replace_file(key, &self.key())
    }
}

/// Gives a file another text so that nobody reads half of it: it is written beside the old one, and takes its name.
pub fn replace_file(path: &Path, text: &str) -> Result<()> {
    let next = path.with_extension("next");
    std::fs::write(&next, text).with_context(|| format!("writing {}", next.display()))?;
    std::fs::rename(&next, path).with_context(|| format!("replacing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_lies_in_its_files_and_in_those_of_another() {
        let authority = TestAuthority::new().unwrap();
        let (one, two) = (authority.issue(&["a.example"]).unwrap(), authority.issue(&["127.0.0.1"]).unwrap());
        assert_eq!(std::fs::read_to_string(one.chain_file()).unwrap(), one.chain());
        assert_ne!(one.chain(), two.chain());
        two.write_to(&one.chain_file(), &one.key_file()).unwrap();
        assert_eq!(std::fs::read_to_string(one.chain_file()).unwrap(), two.chain());
        assert_eq!(std::fs::read_to_string(one.key_file()).unwrap(), two.key());
        assert_eq!(std::fs::read_to_string(authority.file()).unwrap(), one.authority());
    }
}
