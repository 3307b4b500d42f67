// TLS towards endpoints and callers: envoy.extensions.transport_sockets.tls.v3.

#include <string>

#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

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
  if (ca == nullptr) return;
  const auto which = in.one_of(*ca, {"filename", "inlineString"});
  if (which.empty()) in.refuse(*ca, "a CA that is neither a file nor inline");
  tls.trusted_ca_is_file = which == "filename";
  if (!which.empty()) tls.trusted_ca = in.text(*ca, which, 1 << 20);
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
  if (name != "ROOTCA") in.refuse(at, "roots named " + name + " are not supported");
  tls.trusted_ca_secret = name;
}

void own_certificate(Input& in, const Tree& at, UpstreamTls& tls) {
  for (const Tree* one : in.list(at, "tlsCertificateSdsSecretConfigs")) {
    const std::string name = sds_name(in, *one);
    if (take_file_certificate(name, tls)) continue;
    if (name != "default") in.refuse(*one, "a certificate named " + name + " is not supported");
    tls.certificate = name;
  }
  for (const Tree* one : in.list(at, "tlsCertificates")) {
    const Tree* chain = in.object(*one, "certificateChain");
    const Tree* key = in.object(*one, "privateKey");
    if (chain != nullptr) tls.certificate_file = in.text(*chain, "filename");
    if (key != nullptr) tls.key_file = in.text(*key, "filename");
    if (tls.certificate_file.empty() || tls.key_file.empty()) {
      in.refuse(*one, "a certificate that is not of files");
    }
  }
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
    tls.verify_nothing = tls.trusted_ca_secret.empty() && tls.trusted_ca.empty();
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
  Input::overlook(at, {"disableStatelessSessionResumption", "disableStatefulSessionResumption",
                       "sessionTimeout"});
  return tls.uri_names;
}

}  // namespace mesh::waypoint::config::parts
