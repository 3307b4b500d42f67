#include "control/certificates.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <utility>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "mesh/net/address.h"

namespace mesh::control {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
void free_extensions(STACK_OF(X509_EXTENSION) * stack) {
  sk_X509_EXTENSION_pop_free(stack, X509_EXTENSION_free);
}

using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Request = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>>;
using Extensions = std::unique_ptr<STACK_OF(X509_EXTENSION), Deleter<free_extensions>>;

constexpr std::size_t kMaxRequestBytes = 16 * 1024;
constexpr std::size_t kMaxChain = 16;
constexpr std::size_t kMaxRoots = 32;
constexpr long kRootSeconds = 10L * 365 * 24 * 3600;
constexpr std::string_view kRequestHeader = "-----BEGIN CERTIFICATE REQUEST-----";
constexpr std::string_view kRequestFooter = "-----END CERTIFICATE REQUEST-----";

std::string bio_text(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(std::max(length, 0L)));
}

std::string to_pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  MESH_CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return bio_text(bio.get());
}

std::string to_pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  MESH_CHECK(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return bio_text(bio.get());
}

Bio reader(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Key new_key() {
  Key key(EVP_EC_gen("P-256"));
  MESH_CHECK(key != nullptr);
  return key;
}

// 128 bits without a sign and never zero.
void set_serial(X509* certificate) {
  unsigned char bytes[16];
  MESH_CHECK(RAND_bytes(bytes, sizeof bytes) == 1);
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);
  BIGNUM* number = BN_bin2bn(bytes, sizeof bytes, nullptr);
  MESH_CHECK(number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)));
  BN_free(number);
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  MESH_CHECK(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// Clocks differ, and one may be an hour off: what begins an hour before it was made costs nothing,
// since nobody had its key then.
constexpr long kBackdate = 3600 + 300;
constexpr long kBackdateRoot = 24 * 3600;  // its maker's clock is off, and a reader's the other way

struct Validity {
  long before_seconds = 0;  // how long ago it began
  long seconds = 0;         // from now
};

Certificate start_certificate(EVP_PKEY* key, X509_NAME* issuer, Validity validity) {
  Certificate certificate(X509_new());
  MESH_CHECK(certificate != nullptr && X509_set_version(certificate.get(), 2) == 1);
  set_serial(certificate.get());
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -validity.before_seconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), validity.seconds);
  MESH_CHECK(X509_set_pubkey(certificate.get(), key) == 1);
  if (issuer != nullptr) MESH_CHECK(X509_set_issuer_name(certificate.get(), issuer) == 1);
  return certificate;
}

// ---- signing requests ---------------------------------------------------------------------------

bool is_p256(EVP_PKEY* key) {
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return false;
  char group[32] = {};
  std::size_t length = 0;
  return EVP_PKEY_get_group_name(key, group, sizeof group, &length) == 1 &&
         std::string_view(group, length) == "prime256v1";
}

// One PEM block and nothing else but white space.
bool is_one_request(std::string_view pem) {
  while (!pem.empty() && std::strchr(" \r\n\t", pem.back()) != nullptr) pem.remove_suffix(1);
  while (!pem.empty() && std::strchr(" \r\n\t", pem.front()) != nullptr) pem.remove_prefix(1);
  return pem.starts_with(kRequestHeader) && pem.ends_with(kRequestFooter) &&
         pem.find(kRequestHeader, 1) == std::string_view::npos;
}

// The request asks for this identity and no other name.
Result<Done> check_names(X509_EXTENSION* extension, const std::string& uri) {
  const Names names(static_cast<GENERAL_NAMES*>(X509V3_EXT_d2i(extension)));
  if (names == nullptr) return failed(Reason::kMalformed, "the request's alternative names");
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) {
      return failed(Reason::kWrongIdentity, "the request asks for a name that is not a URI");
    }
    const ASN1_IA5STRING* text = name->d.uniformResourceIdentifier;
    const std::string_view asked(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                 static_cast<std::size_t>(ASN1_STRING_length(text)));
    if (asked != uri) {
      return failed(Reason::kWrongIdentity, "the request asks for another identity");
    }
  }
  return Done{};
}

Result<Done> check_extensions(X509_REQ* request, const std::string& uri) {
  const Extensions extensions(X509_REQ_get_extensions(request));
  for (int i = 0; i < sk_X509_EXTENSION_num(extensions.get()); ++i) {
    X509_EXTENSION* extension = sk_X509_EXTENSION_value(extensions.get(), i);
    switch (OBJ_obj2nid(X509_EXTENSION_get_object(extension))) {
      case NID_subject_alt_name:
        TRY_DO(check_names(extension, uri));
        break;
      case NID_basic_constraints: {
        auto* constraints = static_cast<BASIC_CONSTRAINTS*>(X509V3_EXT_d2i(extension));
        const bool authority = constraints == nullptr || constraints->ca != 0;
        BASIC_CONSTRAINTS_free(constraints);
        if (authority) return failed(Reason::kWrongIdentity, "the request asks to be an authority");
        break;
      }
      case NID_key_usage:
      case NID_ext_key_usage:
      case NID_subject_key_identifier:
        break;  // ours are put in their place
      default:
        return failed(Reason::kWrongIdentity, "the request asks for an unknown extension");
    }
  }
  return Done{};
}

Result<Request> read_request(const std::string& pem, const std::string& uri) {
  if (pem.size() > kMaxRequestBytes) return failed(Reason::kMalformed, "a request over 16 KiB");
  if (!is_one_request(pem)) return failed(Reason::kMalformed, "not one PEM signing request");
  // Errors left in the thread's queue would be taken for errors of the connection that asks.
  const struct ErrorsEnd {
    ~ErrorsEnd() { ERR_clear_error(); }
  } errors_end;
  const Bio bio = reader(pem);
  Request request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (request == nullptr) return failed(Reason::kMalformed, "not a signing request");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (!is_p256(key)) {
    return failed(Reason::kWrongIdentity, "the request's key is not ECDSA on P-256");
  }
  if (X509_REQ_verify(request.get(), key) != 1) {
    return failed(Reason::kMalformed, "the request is not signed by its own key");
  }
  TRY_DO(check_extensions(request.get(), uri));
  return request;
}

// ---- files --------------------------------------------------------------------------------------

Result<std::string> read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed_with_errno(errno, "opening the root's files");
  std::string text(kMaxRequestBytes, '\0');
  const ssize_t got = ::read(fd, text.data(), text.size());
  const int error = errno;
  ::close(fd);
  if (got < 0) return failed_with_errno(error, "reading the root's files");
  text.resize(static_cast<std::size_t>(got));
  return text;
}

// Whole or not at all: written beside its place, then renamed into it.
Result<Done> write_file(const std::string& path, std::string_view text, mode_t mode) {
  const std::string beside = path + ".new";
  (void)::unlink(beside.c_str());
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return failed_with_errno(errno, "writing the root's files");
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fchmod(fd, mode) == 0 && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written) return failed_with_errno(error, "writing the root's files");
  if (::rename(beside.c_str(), path.c_str()) != 0) {
    return failed_with_errno(errno, "writing the root's files");
  }
  return Done{};
}

}  // namespace

KeyPair make_root(const std::string& trust_domain) {
  const Key key = new_key();
  Certificate root = start_certificate(key.get(), nullptr,
                                       {.before_seconds = kBackdateRoot, .seconds = kRootSeconds});
  X509_NAME* name = X509_get_subject_name(root.get());
  const auto add = [&](const char* field, const std::string& value) {
    const auto* text = reinterpret_cast<const unsigned char*>(value.c_str());
    // The upper bounds of X.520: 64 characters.
    const int length = static_cast<int>(std::min<std::size_t>(value.size(), 64));
    MESH_CHECK(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, text, length, -1, 0) == 1);
  };
  add("O", trust_domain);
  // A name of its own: verifiers look roots up by name, and of two that are trusted must find both.
  char* serial = i2s_ASN1_INTEGER(nullptr, X509_get_serialNumber(root.get()));
  MESH_CHECK(serial != nullptr);
  add("CN", std::string("Weft root ") + std::string(serial).substr(0, 16));
  OPENSSL_free(serial);
  MESH_CHECK(X509_set_issuer_name(root.get(), name) == 1);
  add_extension(root.get(), root.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(root.get(), root.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(root.get(), root.get(), NID_subject_key_identifier, "hash");
  MESH_CHECK(X509_sign(root.get(), key.get(), EVP_sha256()) > 0);
  return {to_pem(root.get()), to_pem(key.get())};
}

namespace {

// The PEM certificates in `text`, at most `most`; nothing else may be there but white space and
// comments.
Result<std::vector<Certificate>> read_certificates(const std::string& text, std::size_t most) {
  std::vector<Certificate> all;
  const Bio bio = reader(text);
  while (Certificate one{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    if (all.size() >= most) return failed(Reason::kTooLarge, "certificates in one chain");
    all.push_back(std::move(one));
  }
  const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!is_end) return failed(Reason::kMalformed, "a PEM certificate");
  return all;
}

Key read_key(const std::string& text) {
  const Bio bio = reader(text);
  // Never ask for a pass phrase on the terminal.
  Key key(PEM_read_bio_PrivateKey(
      bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  ERR_clear_error();
  return key;
}

std::int64_t end_of(X509* certificate) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) return 0;
  return timegm(&parts);
}

using Store = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>>;
void free_borrowed(STACK_OF(X509) * stack) { sk_X509_free(stack); }
using Stack = std::unique_ptr<STACK_OF(X509), Deleter<free_borrowed>>;

// The way from `certificate` to one of the roots, both ends in it.
Result<std::vector<Certificate>> way_to_root(X509* certificate,
                                             const std::vector<Certificate>& chain,
                                             const std::vector<Certificate>& roots) {
  const Store store(X509_STORE_new());
  const Stack between(sk_X509_new_null());
  const StoreContext context(X509_STORE_CTX_new());
  MESH_CHECK(store != nullptr && between != nullptr && context != nullptr);
  for (const Certificate& root : roots) X509_STORE_add_cert(store.get(), root.get());
  for (const Certificate& one : chain) sk_X509_push(between.get(), one.get());
  MESH_CHECK(X509_STORE_CTX_init(context.get(), store.get(), certificate, between.get()) == 1);
  const bool verified = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (!verified && error == X509_V_ERR_CERT_HAS_EXPIRED) {
    return failed(Reason::kExpired, "the authority's certificate, or one above it, has expired");
  }
  if (!verified) {
    return failed(Reason::kUntrusted, "the authority's certificate does not lead to its root");
  }
  std::vector<Certificate> way;
  const STACK_OF(X509)* found = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(found); ++i) {
    X509* one = sk_X509_value(found, i);
    X509_up_ref(one);
    way.emplace_back(one);
  }
  return way;
}

}  // namespace

struct CertificateAuthority::Impl {
  Key key;
  Certificate certificate;
  std::int64_t expires = 0;

  Result<std::string> finish(Certificate leaf, const std::string& names, bool critical) const {
    X509* issuer = certificate.get();
    add_extension(leaf.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(leaf.get(), issuer, NID_key_usage, "critical,digitalSignature");
    add_extension(leaf.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth");
    add_extension(leaf.get(), issuer, NID_authority_key_identifier, "keyid");
    add_extension(leaf.get(), issuer, NID_subject_alt_name, (critical ? "critical," : "") + names);
    if (X509_sign(leaf.get(), key.get(), EVP_sha256()) <= 0) {
      return failed(Reason::kSystem, "signing a certificate");
    }
    return to_pem(leaf.get());
  }

  // Not beyond the end of what is above it.
  long clamp(long seconds) const {
    return std::min(seconds, static_cast<long>(expires - std::time(nullptr)));
  }
};

CertificateAuthority::CertificateAuthority(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

CertificateAuthority::~CertificateAuthority() = default;

Result<std::unique_ptr<CertificateAuthority>> CertificateAuthority::open(
    const std::string& folder, const std::string& trust_domain) {
  const std::string certificate_path = folder + "/root-cert.pem";
  const std::string key_path = folder + "/root-key.pem";
  const bool has_certificate = ::access(certificate_path.c_str(), F_OK) == 0;
  const bool has_key = ::access(key_path.c_str(), F_OK) == 0;
  if (has_certificate != has_key) {
    return failed(Reason::kMalformed, "one of root-cert.pem and root-key.pem is missing");
  }
  if (!has_key) {
    const KeyPair root = make_root(trust_domain);
    TRY_DO(write_file(key_path, root.key_pem, 0600));
    TRY_DO(write_file(certificate_path, root.certificate_pem, 0644));
  }
  struct stat s{};
  if (::stat(key_path.c_str(), &s) != 0) return failed_with_errno(errno, "root-key.pem");
  if ((s.st_mode & 077) != 0) {
    return failed(Reason::kUntrusted, "root-key.pem can be read by others: chmod 600 it");
  }
  TRY(const std::string certificate_text, read_file(certificate_path));
  TRY(const std::string key_text, read_file(key_path));
  auto opened = from(
      {.certificate = certificate_text, .key = key_text, .chain = {}, .roots = certificate_text});
  if (opened || opened.error().reason == Reason::kExpired) return opened;
  return failed(Reason::kMalformed, "root-cert.pem and root-key.pem are not a root and its key");
}

Result<std::unique_ptr<CertificateAuthority>> CertificateAuthority::from(
    const AuthorityMaterial& material) {
  TRY(std::vector<Certificate> own, read_certificates(material.certificate, kMaxChain));
  TRY(const std::vector<Certificate> chain, read_certificates(material.chain, kMaxChain));
  TRY(const std::vector<Certificate> roots, read_certificates(material.roots, kMaxRoots));
  auto impl = std::make_unique<Impl>();
  impl->key = read_key(material.key);
  const bool matches = !own.empty() && impl->key != nullptr &&
                       X509_check_private_key(own.front().get(), impl->key.get()) == 1 &&
                       X509_check_ca(own.front().get()) != 0;
  ERR_clear_error();
  if (!matches) return failed(Reason::kMalformed, "not an authority's certificate and its key");
  impl->certificate = std::move(own.front());
  TRY(const std::vector<Certificate> way, way_to_root(impl->certificate.get(), chain, roots));
  auto authority = std::unique_ptr<CertificateAuthority>(new CertificateAuthority(std::move(impl)));
  authority->root_pem_.clear();
  for (const Certificate& root : roots) authority->root_pem_ += to_pem(root.get());
  authority->expires_ = end_of(way.front().get());
  for (std::size_t i = 0; i < way.size(); ++i) {
    authority->expires_ = std::min(authority->expires_, end_of(way[i].get()));
    if (i + 1 < way.size()) authority->intermediates_.push_back(to_pem(way[i].get()));
  }
  authority->impl_->expires = authority->expires_;
  return authority;
}

Result<std::string> CertificateAuthority::issue(const std::string& csr_pem, const net::SpiffeId& id,
                                                std::chrono::seconds lifetime) const {
  const std::string uri = id.to_string();
  TRY(const Request request, read_request(csr_pem, uri));
  const long seconds = impl_->clamp(static_cast<long>(lifetime.count()));
  if (seconds < 1) return failed(Reason::kExpired, "the authority's certificate has expired");
  // But a short life must not seem half over when it begins.
  const Validity validity{.before_seconds = std::min(kBackdate, seconds / 10), .seconds = seconds};
  Certificate leaf = start_certificate(X509_REQ_get0_pubkey(request.get()),
                                       X509_get_subject_name(impl_->certificate.get()), validity);
  return impl_->finish(std::move(leaf), "URI:" + uri, true);
}

Result<KeyPair> CertificateAuthority::issue_server(const std::vector<std::string>& names) const {
  std::string text;
  for (const std::string& name : names) {
    const bool safe = !name.empty() && name.find_first_of(",;=\n ") == std::string::npos;
    if (!safe) return failed(Reason::kMalformed, "a name for the serving certificate");
    if (!text.empty()) text += ",";
    text += (net::IpAddress::parse(name) ? "IP:" : "DNS:") + name;
  }
  const Key key = new_key();
  Certificate leaf =
      start_certificate(key.get(), X509_get_subject_name(impl_->certificate.get()),
                        {.before_seconds = kBackdate, .seconds = impl_->clamp(kRootSeconds)});
  X509_NAME* subject = X509_get_subject_name(leaf.get());
  MESH_CHECK(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                        reinterpret_cast<const unsigned char*>("weft-control"), -1,
                                        -1, 0) == 1);
  TRY(std::string certificate, impl_->finish(std::move(leaf), text, false));
  for (const std::string& one : intermediates_) certificate += one;
  return KeyPair{std::move(certificate), to_pem(key.get())};
}

}  // namespace mesh::control
