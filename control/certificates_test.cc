#include "control/certificates.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <catch2/catch_test_macros.hpp>

#include "control/signing_request_for_tests.h"

namespace mesh::control {
namespace {

using std::chrono::seconds;
using KeyKind = SigningRequest::KeyKind;

class Bench {
 public:
  Bench() {
    char path[] = "/tmp/weft-ca-test-XXXXXX";
    folder = ::mkdtemp(path);
  }
  ~Bench() { std::filesystem::remove_all(folder); }
  std::unique_ptr<CertificateAuthority> open() {
    auto opened = CertificateAuthority::open(folder, "cluster.local");
    REQUIRE(opened);
    return *std::move(opened);
  }
  std::string folder;
};

const net::SpiffeId kWeb = *net::SpiffeId::make("cluster.local", "shop", "web");

struct X509Deleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using Certificate = std::unique_ptr<X509, X509Deleter>;

Certificate parse(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  Certificate certificate(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr));
  BIO_free(bio);
  REQUIRE(certificate != nullptr);
  return certificate;
}

// "URI:spiffe://…", as OpenSSL prints the extension.
std::string names_of(X509* certificate) {
  const int at = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
  REQUIRE(at >= 0);
  BIO* bio = BIO_new(BIO_s_mem());
  X509V3_EXT_print(bio, X509_get_ext(certificate, at), 0, 0);
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(length));
  BIO_free(bio);
  return text;
}

// Seconds between two times of a certificate.
long between(const ASN1_TIME* from, const ASN1_TIME* to) {
  int days = 0;
  int rest = 0;
  REQUIRE(ASN1_TIME_diff(&days, &rest, from, to) == 1);
  return days * 86400L + rest;
}

mode_t mode_of(const std::string& path) {
  struct stat s{};
  REQUIRE(::stat(path.c_str(), &s) == 0);
  return s.st_mode & 0777;
}

}  // namespace

TEST_CASE("the root is made once, its key for nobody else to read, and kept") {
  Bench bench;
  const std::string first = bench.open()->root_pem();
  CHECK(mode_of(bench.folder + "/root-key.pem") == 0600);
  CHECK(mode_of(bench.folder + "/root-cert.pem") == 0644);
  CHECK(bench.open()->root_pem() == first);
  const Certificate root = parse(first);
  CHECK(X509_check_ca(root.get()) == 1);
}

TEST_CASE("a root that is not as it should be is an error, never replaced") {
  Bench bench;
  bench.open();
  const std::string key = bench.folder + "/root-key.pem";
  const auto reason = [&] {
    const auto opened = CertificateAuthority::open(bench.folder, "cluster.local");
    return opened ? std::optional<Reason>() : opened.error().reason;
  };
  SECTION("readable by others") {
    ::chmod(key.c_str(), 0644);
    CHECK(reason() == Reason::kUntrusted);
  }
  SECTION("one of the two is missing") {
    std::filesystem::remove(key);
    CHECK(reason() == Reason::kMalformed);
    CHECK_FALSE(std::filesystem::exists(key));
  }
  SECTION("garbage") {
    std::ofstream(key) << "garbage";
    CHECK(reason() == Reason::kMalformed);
  }
  SECTION("of another certificate") {
    Bench other;
    other.open();
    std::filesystem::copy_file(other.folder + "/root-key.pem", key,
                               std::filesystem::copy_options::overwrite_existing);
    CHECK(reason() == Reason::kMalformed);
  }
}

TEST_CASE("a certificate has the identity as its only name, and cannot sign others") {
  Bench bench;
  const auto authority = bench.open();
  const auto pem =
      authority->issue(make_signing_request({.uri = kWeb.to_string()}), kWeb, seconds(3600));
  REQUIRE(pem);
  const Certificate leaf = parse(*pem);
  const Certificate root = parse(authority->root_pem());
  CHECK(names_of(leaf.get()) == "URI:spiffe://cluster.local/ns/shop/sa/web");
  CHECK(X509_NAME_entry_count(X509_get_subject_name(leaf.get())) == 0);
  CHECK(X509_check_ca(leaf.get()) == 0);
  CHECK(X509_verify(leaf.get(), X509_get0_pubkey(root.get())) == 1);
  CHECK(X509_get_extended_key_usage(leaf.get()) == (XKU_SSL_SERVER | XKU_SSL_CLIENT));
  CHECK(X509_get_key_usage(leaf.get()) == KU_DIGITAL_SIGNATURE);
  const X509_EXTENSION* names =
      X509_get_ext(leaf.get(), X509_get_ext_by_NID(leaf.get(), NID_subject_alt_name, -1));
  CHECK(X509_EXTENSION_get_critical(names) == 1);  // the subject is empty
  CHECK(X509_cmp_current_time(X509_get0_notBefore(leaf.get())) < 0);
  const long left = between(nullptr, X509_get0_notAfter(leaf.get()));
  CHECK(left > 3590);
  CHECK(left <= 3600);
}

TEST_CASE("a request without a name is for the same identity, and serial numbers differ") {
  Bench bench;
  const auto authority = bench.open();
  const auto one = authority->issue(make_signing_request({}), kWeb, seconds(60));
  const auto two = authority->issue(make_signing_request({}), kWeb, seconds(60));
  REQUIRE(one);
  REQUIRE(two);
  CHECK(names_of(parse(*one).get()) == "URI:" + kWeb.to_string());
  CHECK(ASN1_INTEGER_cmp(X509_get0_serialNumber(parse(*one).get()),
                         X509_get0_serialNumber(parse(*two).get())) != 0);
}

TEST_CASE("what is signed by a clock that is an hour ahead is valid now") {
  Bench bench;
  const auto authority = bench.open();
  const auto began = [](const std::string& pem) {
    return -between(nullptr, X509_get0_notBefore(parse(pem).get()));
  };
  const auto leaf = authority->issue(make_signing_request({}), kWeb, seconds(86400));
  const auto server = authority->issue_server({"localhost"});
  REQUIRE(leaf);
  REQUIRE(server);
  CHECK(began(*leaf) >= 3600);
  CHECK(began(server->certificate_pem) >= 3600);
  CHECK(began(authority->root_pem()) >= 3600);
}

TEST_CASE("a short life does not seem half over when it begins") {
  Bench bench;
  const auto pem = bench.open()->issue(make_signing_request({}), kWeb, seconds(30));
  REQUIRE(pem);
  const Certificate leaf = parse(*pem);
  const long whole = between(X509_get0_notBefore(leaf.get()), X509_get0_notAfter(leaf.get()));
  CHECK(whole <= 33);
}

TEST_CASE("nothing outlives the root") {
  Bench bench;
  const auto authority = bench.open();
  const auto pem = authority->issue(make_signing_request({}), kWeb, seconds(100L * 365 * 86400));
  REQUIRE(pem);
  CHECK(between(X509_get0_notAfter(parse(*pem).get()),
                X509_get0_notAfter(parse(authority->root_pem()).get())) >= 0);
}

TEST_CASE("a request that asks for more, or for less than P-256, is refused") {
  Bench bench;
  const auto authority = bench.open();
  struct Row {
    const char* what;
    SigningRequest request;
    Reason reason;
  };
  const std::string uri = kWeb.to_string();
  for (const Row& row : {
           Row{"RSA", {.key = KeyKind::kRsa, .uri = uri}, Reason::kWrongIdentity},
           Row{"P-384", {.key = KeyKind::kP384, .uri = uri}, Reason::kWrongIdentity},
           Row{"Ed25519", {.key = KeyKind::kEd25519, .uri = uri}, Reason::kWrongIdentity},
           Row{"CA:TRUE", {.uri = uri, .authority = true}, Reason::kWrongIdentity},
           Row{"another identity",
               {.uri = "spiffe://cluster.local/ns/shop/sa/cart"},
               Reason::kWrongIdentity},
           Row{"a DNS name",
               {.uri = uri, .other_name = "DNS:istiod.istio-system.svc"},
               Reason::kWrongIdentity},
           Row{"an address", {.uri = uri, .other_name = "IP:10.0.0.1"}, Reason::kWrongIdentity},
           Row{"signed by another key", {.uri = uri, .bad_signature = true}, Reason::kMalformed},
       }) {
    INFO(row.what);
    const auto issued = authority->issue(make_signing_request(row.request), kWeb, seconds(60));
    REQUIRE_FALSE(issued);
    CHECK(issued.error().reason == row.reason);
  }
}

TEST_CASE("what is not exactly one signing request is refused") {
  Bench bench;
  const auto authority = bench.open();
  const std::string good = make_signing_request({});
  for (const std::string& text :
       {std::string(), std::string("garbage"), good + good, "x" + good, good + "x",
        good.substr(0, good.size() / 2), authority->root_pem(), good + std::string(16384, '\n'),
        std::string("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"
                    "-----END CERTIFICATE REQUEST-----\n")}) {
    INFO(text.substr(0, 100));
    const auto issued = authority->issue(text, kWeb, seconds(60));
    REQUIRE_FALSE(issued);
    CHECK(issued.error().reason == Reason::kMalformed);
  }
  CHECK(authority->issue(" \n" + good + "\n \n", kWeb, seconds(60)));
}

TEST_CASE("the serving certificate has the names it was asked for, and only names") {
  Bench bench;
  const auto authority = bench.open();
  const auto pair = authority->issue_server({"localhost", "127.0.0.1", "::1"});
  REQUIRE(pair);
  CHECK(names_of(parse(pair->certificate_pem).get()) ==
        "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
  for (const char* name : {"", "a,DNS:b", "a b", "a;b", "a=b"}) {
    INFO(name);
    CHECK_FALSE(authority->issue_server({name}));
  }
}

}  // namespace mesh::control
