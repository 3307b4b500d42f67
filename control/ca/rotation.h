#pragma once
// The root in a Secret, and how it is replaced without an outage. Pure: a Secret and the time in,
// the next Secret out.
//
//   signing: A                trusted: A
//   (asked for) signing: A    trusted: A, B    until everybody who trusts has B: `wait`, and
//                                              every replica has this Secret
//   signing: B                trusted: B, A    until nothing that A signed is valid: `wait`
//   signing: B                trusted: B
//
// `wait` is the longest life of a certificate, and some: whoever has a certificate got it, with the
// roots to trust, after B was among them. Times are those of whoever writes the Secret: by how much
// the clocks of replicas may differ, and how long one takes to see a change, is to be in it.

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "control/certificates.h"
#include "mesh/manifest/yaml.h"

namespace mesh::control::ca {

struct RootSecret {
  KeyPair signing;
  std::optional<KeyPair> next;  // trusted, signs nothing yet
  std::string previous;         // PEM certificates that are still trusted
  std::int64_t since = 0;       // when this state began; seconds since 1970
  bool rotate = false;          // somebody asked for a new root
  std::string resource_version = {};

  bool settled() const { return !next && previous.empty(); }
  // "settled", "trusting the next root", "retiring the previous root"
  std::string_view state() const;
};

// The names of the Secret's keys and annotations.
inline constexpr std::string_view kSinceAnnotation = "weft.dev/ca-since";
inline constexpr std::string_view kRotateAnnotation = "weft.dev/ca-rotate";

// A Secret as the API server sends it. What is wrong with it.
std::expected<RootSecret, std::string> read_root_secret(const manifest::Value& secret);

// A Secret to create, or a merge patch of one that is there: JSON. Fields that it does not have are
// removed by the patch; its resourceVersion guards it.
std::string root_secret_json(const RootSecret& secret, std::string_view ns, std::string_view name);
std::string root_secret_patch(const RootSecret& secret);

// What the Secret is to become now, if it is to become something else. `everybody_has_it`: every
// replica has acknowledged the Secret as it is.
std::optional<RootSecret> next_state(const RootSecret& secret, std::int64_t now, std::int64_t wait,
                                     bool everybody_has_it, const std::string& trust_domain);

// What signs, with all that is to be trusted.
AuthorityMaterial material_of(const RootSecret& secret);

// A plugged-in authority in a Secret with Istio's names: ca-cert.pem, ca-key.pem, root-cert.pem and
// cert-chain.pem.
std::expected<AuthorityMaterial, std::string> read_plugged_in(const manifest::Value& secret);

}  // namespace mesh::control::ca
