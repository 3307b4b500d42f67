// TLS towards endpoints and callers: envoy.extensions.transport_sockets.tls.v3.

#include <string>

#include "mesh/base/base64.h"
#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

// A DataSource: the name of a file (then true), or what it holds.
bool source(Input& in, const Tree& at, std::string& file, std::string& held) {
  constexpr std::size_t kMost = 1 << 20;
  const auto which = in.one_of(at, {"filename", "inlineString", "inlineBytes"});
  if (which.empty()) {
    in.refuse(at, "what is neither in a file nor inline");
  } else if (which == "filename") {
    file = in.text(at, which);
  } else if (which == "inlineString") {
    held = in.text(at, which, kMost);
  } else if (auto bytes = base64_decode(in.text(at, which, kMost))) {
    held = *std::move(bytes);
  } else {
    in.refuse(at, "bytes that are no base64");
  }
  return which == "filename";
}

// Both lists of names; those that TLS towards a workload can mean.
void names(Input& in, const Tree& at, UpstreamTls& tls) {
  for (const Tree* one : in.list(at, "matchTypedSubjectAltNames")) {
    const auto type = in.choice(*one, "sanType", {"SAN_TYPE_UNSPECIFIED", "URI", "DNS"});
    const Tree* matcher = in.object(*one, "matcher");
    if (matcher == nullptr || type == 0) {
      in.refuse(*one, "a name without a type or a match");
    } else {
      (type == 1 ? tls.uri_names : tls.dns_names).push_back(string_match(in, *matcher));
    }
  }
  for (const Tree* one : in.list(at, "matchSubjectAltNames")) {
    // Untyped: any name of the certificate may be the one.
    tls.uri_names.push_back(string_match(in, *one));
    tls.dns_names.push_back(tls.uri_names.back());
  }
}

void validation(Input& in, const Tree& at, UpstreamTls& tls) {
  names(in, at, tls);
  if (in.choice(at, "trustChainVerification", {"VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED"}) != 0) {
    in.refuse(at, "ACCEPT_UNTRUSTED is not supported");
  }
  const Tree* ca = in.object(at, "trustedCa");
  if (ca != nullptr) tls.trusted_ca_is_file = source(in, *ca, tls.trusted_ca, tls.trusted_ca);
}

std::string sds_name(Input& in, const Tree& at) {
  Input::overlook(at, {"sdsConfig"});  // ours come from where our own identity comes from
  std::string name = in.text(at, "name");
  if (name.empty()) in.refuse(at, "a secret without a name");
  return name;
}

// Names that istiod gives to files: "file-root:PATH", "file-cert:CERTIFICATE~KEY".
bool take_file_root(std::string_view name, UpstreamTls& tls) {
  constexpr std::string_view kPrefix = "file-root:";
  if (!name.starts_with(kPrefix)) return false;
  tls.trusted_ca = name.substr(kPrefix.size());
  tls.trusted_ca_is_file = true;
  return true;
}

bool take_file_certificate(std::string_view name, UpstreamTls& tls) {
  constexpr std::string_view kPrefix = "file-cert:";
  const std::size_t mark = name.find('~');
  if (!name.starts_with(kPrefix) || mark == std::string_view::npos) return false;
  tls.certificate_file = name.substr(kPrefix.size(), mark - kPrefix.size());
  tls.key_file = name.substr(mark + 1);
  return true;
}

void roots_by_name(Input& in, const Tree& at, UpstreamTls& tls) {
  const std::string name = sds_name(in, at);
  if (take_file_root(name, tls)) return;
  (name == "ROOTCA" ? tls.trusted_ca_secret : tls.roots_secret) = name;
}

void certificate_and_key(Input& in, const Tree& at, UpstreamTls& tls) {
  const Tree* chain = in.object(at, "certificateChain");
  const Tree* key = in.object(at, "privateKey");
  if (chain == nullptr || key == nullptr) return in.refuse(at, "a certificate without its key");
  const bool file = source(in, *chain, tls.certificate_file, tls.certificate_pem);
  if (source(in, *key, tls.key_file, tls.key_pem) != file) {
    in.refuse(at, "a certificate and its key, one of them in a file");
  }
  const bool whole = file ? !tls.certificate_file.empty() && !tls.key_file.empty()
                          : !tls.certificate_pem.empty() && !tls.key_pem.empty();
  if (!whole) in.refuse(at, "a certificate without its key");
}

void own_certificate(Input& in, const Tree& at, UpstreamTls& tls) {
  for (const Tree* one : in.list(at, "tlsCertificateSdsSecretConfigs")) {
    const std::string name = sds_name(in, *one);
    if (take_file_certificate(name, tls)) continue;
    (name == "default" ? tls.certificate : tls.certificate_secret) = name;
  }
  for (const Tree* one : in.list(at, "tlsCertificates")) certificate_and_key(in, *one, tls);
}

// Below TLS 1.2 nothing is ever spoken, whatever is allowed.
void versions(Input& in, const Tree& at, UpstreamTls& tls) {
  const auto version = [&](std::string_view name) {
    return in.choice(at, name, {"TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"});
  };
  const std::size_t least = version("tlsMinimumProtocolVersion");
  const std::size_t most = version("tlsMaximumProtocolVersion");
  if (most == 1 || most == 2) in.refuse(at, "nothing above TLS 1.1 is not supported");
  if (most != 0 && least > most) in.refuse(at, "a minimum above the maximum");
  using Tls12 = UpstreamTls::Tls12;
  tls.tls12 = least == 4 ? Tls12::kNo : most == 3 ? Tls12::kOnly : Tls12::kAllowed;
  // Which ciphers and curves: ours are among the strong ones of any list.
  Input::overlook(at, {"cipherSuites", "ecdhCurves", "signatureAlgorithms"});
}

void common(Input& in, const Tree& at, UpstreamTls& tls) {
  tls.alpn = in.texts(at, "alpnProtocols");
  own_certificate(in, at, tls);
  const auto which = in.one_of(
      at, {"validationContext", "validationContextSdsSecretConfig", "combinedValidationContext"});
  const Tree* context = which.empty() ? nullptr : in.object(at, which);
  if (context == nullptr) {
    tls.verify_nothing = true;
  } else if (which == "validationContext") {
    validation(in, *context, tls);
    tls.verify_nothing = tls.trusted_ca.empty();
  } else if (which == "validationContextSdsSecretConfig") {
    roots_by_name(in, *context, tls);
  } else {
    const Tree* secret = in.object(*context, "validationContextSdsSecretConfig");
    if (secret != nullptr) roots_by_name(in, *secret, tls);
    if (const Tree* own = in.object(*context, "defaultValidationContext"))
      validation(in, *own, tls);
    tls.verify_nothing =
        tls.trusted_ca_secret.empty() && tls.roots_secret.empty() && tls.trusted_ca.empty();
  }
  if (const Tree* params = in.object(at, "tlsParams")) versions(in, *params, tls);
}

}  // namespace

UpstreamTls upstream_tls(Input& in, const Tree& at) {
  Input::secure(at);
  UpstreamTls tls{.sni = in.text(at, "sni")};
  tls.auto_sni = in.flag(at, "autoHostSni");
  if (const Tree* shared = in.object(at, "commonTlsContext")) {
    common(in, *shared, tls);
  } else {
    tls.verify_nothing = true;
  }
  if (in.flag(at, "allowRenegotiation")) in.refuse(at, "allowRenegotiation is not supported");
  Input::overlook(at, {"maxSessionKeys"});
  return tls;
}

Secret secret(Input& in, const Tree& at) {
  Input::secure(at);
  Secret made{.name = in.text(at, "name")};
  const auto which = in.one_of(at, {"tlsCertificate", "validationContext"});
  const Tree* found = which.empty() ? nullptr : in.object(at, which);
  if (found == nullptr) {
    in.refuse(at, "a secret that is neither a certificate nor roots");
  } else if (which == "tlsCertificate") {
    certificate_and_key(in, *found, made.part);
  } else {
    validation(in, *found, made.part);
    if (made.part.trusted_ca.empty()) in.refuse(*found, "roots without any");
  }
  return made;
}

std::vector<StringMatch> client_names(Input& in, const Tree& at) {
  Input::secure(at);
  UpstreamTls tls{.verify_nothing = true};
  if (const Tree* shared = in.object(at, "commonTlsContext")) {
    tls.verify_nothing = false;
    common(in, *shared, tls);
  }
  if (!in.flag(at, "requireClientCertificate")) {
    in.refuse(at, "callers without a certificate are not supported");
  }
  if (tls.verify_nothing) in.refuse(at, "callers that nobody vouches for are not supported");
  // Who we are to the mesh, and whom it trusts, is not for a listener to change.
  if (!tls.roots_secret.empty()) {
    in.refuse(at, "roots named " + tls.roots_secret + " are not supported");
  }
  if (!tls.certificate_secret.empty()) {
    in.refuse(at, "a certificate named " + tls.certificate_secret + " is not supported");
  }
  if (!tls.trusted_ca.empty() || !tls.certificate_file.empty() || !tls.certificate_pem.empty()) {
    in.refuse(at, "roots or a certificate of a listener's own are not supported");
  }
  Input::overlook(at, {"disableStatelessSessionResumption", "disableStatefulSessionResumption",
                       "sessionTimeout"});
  return tls.uri_names;
}

}  // namespace mesh::waypoint::config::parts
