#pragma once
// What every object has: names, labels, owners. Part of objects.h.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::manifest {

using Labels = std::map<std::string, std::string, std::less<>>;

struct Owner {
  std::string kind;
  std::string name;
  bool controller = false;
};

struct Metadata {
  std::string name;
  std::string ns;  // empty for cluster-wide kinds
  Labels labels;
  Labels annotations;
  std::string generate_name;
  std::string uid;
  std::string created;    // creationTimestamp, RFC 3339, as written
  bool deleting = false;  // has a deletionTimestamp
  // From an API server only: which state of the object this is, and which of its specification.
  std::string resource_version;
  std::int64_t generation = 0;
  std::vector<Owner> owners;

  // "" when there is none.
  std::string_view label(std::string_view key) const;
  std::string_view annotation(std::string_view key) const;
};

struct LabelExpression {
  std::string key;
  std::string op;  // In, NotIn, Exists, DoesNotExist
  std::vector<std::string> values;
};

// All terms hold. Without terms: everything.
struct LabelSelector {
  Labels labels;
  std::vector<LabelExpression> expressions;

  bool selects(const Labels& object) const;
};

}  // namespace mesh::manifest
