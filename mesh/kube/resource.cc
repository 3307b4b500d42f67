#include "mesh/kube/resource.h"

#include <cctype>

#include "mesh/manifest/parse.h"

namespace mesh::kube {
namespace {

// The API's own rule for the names of collections.
std::string plural_of(std::string_view kind) {
  std::string plural;
  for (const char c : kind) plural += static_cast<char>(std::tolower(c));
  constexpr std::string_view kVowels = "aeiou";
  if (plural.ends_with('s')) return plural + "es";
  const bool consonant_y = plural.size() > 1 && plural.ends_with('y') &&
                           kVowels.find(plural[plural.size() - 2]) == std::string_view::npos;
  if (!consonant_y) return plural + "s";
  plural.pop_back();
  return plural + "ies";
}

}  // namespace

std::string ResourceType::path(std::string_view ns, std::string_view name,
                               std::string_view subresource) const {
  std::string path = group.empty() ? "/api/" + version : "/apis/" + group + "/" + version;
  if (namespaced && !ns.empty()) path += "/namespaces/" + escaped(ns);
  path += "/" + plural;
  if (!name.empty()) path += "/" + escaped(name);
  if (!subresource.empty()) path.append("/").append(subresource);
  return path;
}

std::vector<ResourceType> types_of(manifest::Kind kind) {
  std::vector<ResourceType> types;
  const manifest::KnownKind& known = manifest::known_kind(kind);
  for (const std::string_view api_version : known.api_versions) {
    if (api_version.empty()) continue;
    const auto slash = api_version.find('/');
    ResourceType type;
    if (slash != std::string_view::npos) type.group = api_version.substr(0, slash);
    type.version = api_version.substr(slash == std::string_view::npos ? 0 : slash + 1);
    type.plural = plural_of(known.name);
    type.namespaced = known.namespaced;
    types.push_back(std::move(type));
  }
  return types;
}

std::string escaped(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string with_query(std::string path, const Query& query) {
  char separator = '?';
  for (const auto& [key, value] : query) {
    if (value.empty()) continue;
    path += separator;
    path.append(key).append("=").append(escaped(value));
    separator = '&';
  }
  return path;
}

}  // namespace mesh::kube
