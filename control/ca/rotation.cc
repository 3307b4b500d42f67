#include "control/ca/rotation.h"

#include <charconv>
#include <utility>

#include <nlohmann/json.hpp>

#include "mesh/base/base64.h"

namespace mesh::control::ca {
namespace {

using manifest::Value;
using nlohmann::json;

constexpr std::size_t kMaxField = 256u << 10;

std::string text_of(const Value* value) {
  return value == nullptr || value->type != Value::Type::kScalar ? std::string() : value->text;
}

std::unexpected<std::string> wrong(std::string why) { return std::unexpected(std::move(why)); }

// data[KEY], decoded; empty when it is not there.
std::expected<std::string, std::string> field(const Value& secret, std::string_view key) {
  const std::string text = text_of(member(member(&secret, "data"), key));
  if (text.size() > kMaxField) return wrong(std::string(key) + " is too long");
  auto decoded = base64_decode(text);
  if (!decoded) return wrong(std::string(key) + " is not base64");
  return *std::move(decoded);
}

json data_of(const RootSecret& secret) {
  json data;
  const auto put = [&](const char* key, const std::string& text) {
    data[key] = text.empty() ? json(nullptr) : json(base64_encode(text));
  };
  put("ca-cert.pem", secret.signing.certificate_pem);
  put("ca-key.pem", secret.signing.key_pem);
  put("next-cert.pem", secret.next ? secret.next->certificate_pem : "");
  put("next-key.pem", secret.next ? secret.next->key_pem : "");
  put("previous-cert.pem", secret.previous);
  return data;
}

json annotations_of(const RootSecret& secret) {
  json annotations;
  annotations[std::string(kSinceAnnotation)] = std::to_string(secret.since);
  annotations[std::string(kRotateAnnotation)] = secret.rotate ? json("true") : json(nullptr);
  return annotations;
}

void drop_nulls(json& object) {
  for (auto it = object.begin(); it != object.end();) {
    it = it->is_null() ? object.erase(it) : std::next(it);
  }
}

}  // namespace

std::string_view RootSecret::state() const {
  if (next) return "trusting the next root";
  return previous.empty() ? "settled" : "retiring the previous root";
}

std::expected<RootSecret, std::string> read_root_secret(const Value& value) {
  RootSecret secret;
  std::string next_certificate, next_key;
  const std::pair<const char*, std::string*> fields[] = {
      {"ca-cert.pem", &secret.signing.certificate_pem},
      {"ca-key.pem", &secret.signing.key_pem},
      {"next-cert.pem", &next_certificate},
      {"next-key.pem", &next_key},
      {"previous-cert.pem", &secret.previous}};
  for (const auto& [key, to] : fields) {
    auto text = field(value, key);
    if (!text) return wrong(text.error());
    *to = *std::move(text);
  }
  if (secret.signing.certificate_pem.empty() || secret.signing.key_pem.empty()) {
    return wrong("ca-cert.pem and ca-key.pem must be there");
  }
  if (next_certificate.empty() != next_key.empty()) {
    return wrong("next-cert.pem and next-key.pem go together");
  }
  if (!next_key.empty()) secret.next = KeyPair{std::move(next_certificate), std::move(next_key)};
  const Value* metadata = member(&value, "metadata");
  const Value* annotations = member(metadata, "annotations");
  const std::string since = text_of(member(annotations, kSinceAnnotation));
  std::from_chars(since.data(), since.data() + since.size(), secret.since);
  secret.rotate = !text_of(member(annotations, kRotateAnnotation)).empty();
  secret.resource_version = text_of(member(metadata, "resourceVersion"));
  return secret;
}

std::string root_secret_json(const RootSecret& secret, std::string_view ns, std::string_view name) {
  json data = data_of(secret);
  json annotations = annotations_of(secret);
  drop_nulls(data);
  drop_nulls(annotations);
  return json{{"apiVersion", "v1"},
              {"kind", "Secret"},
              {"type", "Opaque"},
              {"metadata",
               {{"name", std::string(name)},
                {"namespace", std::string(ns)},
                {"annotations", std::move(annotations)}}},
              {"data", std::move(data)}}
      .dump();
}

std::string root_secret_patch(const RootSecret& secret) {
  return json{
      {"metadata",
       {{"resourceVersion", secret.resource_version}, {"annotations", annotations_of(secret)}}},
      {"data", data_of(secret)}}
      .dump();
}

std::optional<RootSecret> next_state(const RootSecret& secret, std::int64_t now, std::int64_t wait,
                                     bool everybody_has_it, const std::string& trust_domain) {
  RootSecret next = secret;
  next.since = now;
  const bool waited = now >= secret.since + wait;
  if (secret.next) {
    if (!waited || !everybody_has_it) return {};
    next.previous = secret.signing.certificate_pem + secret.previous;
    next.signing = *secret.next;
    next.next.reset();
    return next;
  }
  if (!secret.previous.empty()) {
    if (!waited || !everybody_has_it) return {};
    next.previous.clear();
    return next;
  }
  if (!secret.rotate) return {};
  next.rotate = false;
  next.next = make_root(trust_domain);
  return next;
}

AuthorityMaterial material_of(const RootSecret& secret) {
  AuthorityMaterial material{.certificate = secret.signing.certificate_pem,
                             .key = secret.signing.key_pem,
                             .chain = {},
                             .roots = secret.signing.certificate_pem};
  if (secret.next) material.roots += secret.next->certificate_pem;
  material.roots += secret.previous;
  return material;
}

std::expected<AuthorityMaterial, std::string> read_plugged_in(const Value& secret) {
  AuthorityMaterial material;
  const std::pair<const char*, std::string*> fields[] = {{"ca-cert.pem", &material.certificate},
                                                         {"ca-key.pem", &material.key},
                                                         {"root-cert.pem", &material.roots},
                                                         {"cert-chain.pem", &material.chain}};
  for (const auto& [key, to] : fields) {
    auto text = field(secret, key);
    if (!text) return wrong(text.error());
    if (text->empty() && to != &material.chain) return wrong(std::string(key) + " is missing");
    *to = *std::move(text);
  }
  return material;
}

}  // namespace mesh::control::ca
