#pragma once
// Where things are on an API server: paths and queries.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mesh/manifest/objects.h"

namespace mesh::kube {

struct ResourceType {
  std::string group;  // empty: the core group
  std::string version;
  std::string plural;
  bool namespaced = true;

  // "/api/v1/namespaces/shop/pods/web/status". Parts that are empty are left out; a name needs a
  // namespace if the kind has one.
  std::string path(std::string_view ns = {}, std::string_view name = {},
                   std::string_view subresource = {}) const;
};

// The versions that a kind is served in, the one to try first first.
std::vector<ResourceType> types_of(manifest::Kind kind);

using Query = std::vector<std::pair<std::string_view, std::string>>;

// "PATH?a=b&c=d", values escaped; parameters with an empty value are left out.
std::string with_query(std::string path, const Query& query);

// For one part of a path or a query: what is not unreserved becomes %XX.
std::string escaped(std::string_view text);

}  // namespace mesh::kube
