#pragma once
// One manifest file, read: YAML text in, typed objects and problems out. Pure.
//
// Accepted as they are: stock manifests, several documents a file, Lists, JSON, anchors and
// aliases. Unknown fields are ignored in core objects and are errors in security objects
// (AuthorizationPolicy, PeerAuthentication), where every value is validated too: an address block,
// port, pattern or mode that is not one makes the object invalid as a whole.
//
// Limits: 4 MiB a file, 64 levels, 200 000 nodes after aliases are expanded, 10 000 documents, 100
// problems a file. Beyond: the file is unreadable.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/manifest/objects.h"

namespace mesh::manifest {

inline constexpr std::size_t kMaxFileBytes = 4u << 20;
inline constexpr unsigned kMaxDepth = 64;
inline constexpr unsigned kMaxNodes = 200'000;
inline constexpr unsigned kMaxDocuments = 10'000;
inline constexpr unsigned kMaxProblems = 100;

enum class Severity { kError, kWarning };

struct Problem {
  Severity severity = Severity::kError;
  std::string file;
  unsigned line = 0;   // from 1; 0 when the file as a whole is meant
  std::string object;  // "AuthorizationPolicy shop/deny-web", or ""
  std::string field;   // "spec.rules[0].from[0].source.ipBlocks[1]", or ""
  std::string message;
  std::string in_force = {};  // of an error, what holds meanwhile; "" when nobody has said it
  std::string version = {};   // resourceVersion of the object that it is about, if that has one

  // "policy.yaml:12: AuthorizationPolicy shop/deny-web: spec.rules[0].…: not an address block; it
  // was never good here: all that it selects is denied"
  std::string to_string() const;
  friend bool operator==(const Problem&, const Problem&) = default;
};

struct ParsedObject {
  Object object;
  unsigned line = 0;  // where its document starts
};

// An object that is there but invalid. What is in force of it is its last good version; this holds
// only what is to be done without one.
struct BrokenObject {
  ObjectKey key;
  unsigned line = 0;                            // where its document starts
  std::shared_ptr<const Object> stand_in = {};  // stand_in.h; null: it is left out
};

struct Parsed {
  std::vector<ParsedObject> objects;  // valid ones, in the order of the file, each key once
  std::vector<Problem> problems;
  std::vector<BrokenObject> broken;  // by key; of two objects of one name in a file, both
  // The file as a whole could not be read (syntax, a limit): it says nothing about the objects that
  // were known from it. Those of its documents that can be identified nevertheless are broken.
  bool unreadable = false;
  // A document was invalid in a way that hides which object it is.
  bool unidentified = false;

  bool has_errors() const;
};

// A kind that is read, and what it is called.
struct KnownKind {
  std::string_view api_versions[3];  // "GROUP/VERSION", the newest first; unused ones are empty
  std::string_view name;
  Kind kind;
  bool namespaced = true;
};
std::span<const KnownKind> known_kinds();
const KnownKind& known_kind(Kind kind);

// `file` is only used in problems.
Parsed parse(std::string_view file, std::string_view text);

struct Value;

// One object, as an API server sends it: read as strictly as one from a file. `kind` is what the
// server was asked for, since the items of its lists do not say; `origin` stands for the file in
// problems. Exactly one of these holds: objects has one, broken has one, unidentified.
Parsed parse_object(std::string_view origin, Kind kind, const Value& object);

}  // namespace mesh::manifest
