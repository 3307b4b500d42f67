// istio.security.Authorization to policy::Policy.

#include <algorithm>

#include "mesh/policy/compile.h"
#include "mesh/xds/decode.h"
#include "mesh/xds/decode_internal.h"
#include "mesh/xds/wire_reader.h"

namespace mesh::xds {
namespace {

using policy::AddressDraft;
using policy::ClauseDraft;
using policy::MatchDraft;
using policy::PolicyDraft;
using policy::RuleDraft;
using policy::ServiceAccountMatch;
using policy::StringMatchDraft;

// One list of values or parts is bounded while it is read; the sum of all by policy::compile().
constexpr std::size_t kMaxParts = policy::kMaxPolicyParts;

class PolicyDecoder : public FieldDecoder {
 public:
  // Name, scope, action, dry_run: what has to be known of a policy even if the rest is not
  // understood.
  bool head(std::string_view bytes, PolicyDraft& draft) {
    std::uint32_t number_seen = 0;
    draft.scope = 0;  // what an absent field means
    draft.action = 0;
    return message(bytes, [&](const WireField& field) {
      switch (field.number) {
        case 1: return text(field, draft.name) || under("name");
        case 2: return text(field, draft.ns) || under("namespace");
        case 3:
          if (!number(field, number_seen)) return under("scope");
          draft.scope = number_seen;
          return true;
        case 4:
          if (!number(field, number_seen)) return under("action");
          draft.action = number_seen;
          return true;
        case 6: return flag(field, draft.dry_run) || under("dry_run");
        default: return true;
      }
    });
  }

  // Everything else, leaving nothing out.
  bool body(std::string_view bytes, PolicyDraft& draft) {
    return message(bytes, [&](const WireField& field) {
      switch (field.number) {
        case 1: case 2: case 3: case 4: case 6: return true;
        case 5:
          return each("rules", draft.rules,
                      [&](RuleDraft& made) { return rule(field, made); });
        case 7: return fail("an extension, and none is known") || under("extensions");
        default: return unknown(field);
      }
    });
  }

 private:
  bool rule(const WireField& from, RuleDraft& rule) {
    return embedded(from, [&](const WireField& field) {
      if (field.number != 1) return unknown(field);
      return each("clauses", rule.clauses,
                  [&](ClauseDraft& made) { return clause(field, made); });
    });
  }

  bool clause(const WireField& from, ClauseDraft& clause) {
    return embedded(from, [&](const WireField& field) {
      if (field.number != 2) return unknown(field);
      return each("matches", clause.matches,
                  [&](MatchDraft& made) { return match(field, made); });
    });
  }

  bool match(const WireField& from, MatchDraft& match) {
    return embedded(from, [&](const WireField& field) {
      switch (field.number) {
        case 1: return texts(field, "namespaces", match.namespaces);
        case 2: return texts(field, "not_namespaces", match.not_namespaces);
        case 3: return texts(field, "principals", match.principals);
        case 4: return texts(field, "not_principals", match.not_principals);
        case 5: return blocks(field, "source_ips", match.source_ips);
        case 6: return blocks(field, "not_source_ips", match.not_source_ips);
        case 7: return blocks(field, "destination_ips", match.destination_ips);
        case 8: return blocks(field, "not_destination_ips", match.not_destination_ips);
        case 9: return ports(field, "destination_ports", match.destination_ports);
        case 10: return ports(field, "not_destination_ports", match.not_destination_ports);
        case 11: return accounts(field, "service_accounts", match.service_accounts);
        case 12: return accounts(field, "not_service_accounts", match.not_service_accounts);
        case 13: return fail("an extension, and none is known") || under("extensions");
        default: return unknown(field);
      }
    });
  }

  bool texts(const WireField& from, const char* name, std::vector<StringMatchDraft>& to) {
    using Kind = StringMatchDraft::Kind;
    return each(name, to, [&](StringMatchDraft& made) {
      return embedded(from, [&](const WireField& field) {
        switch (field.number) {
          case 1: made.kind = Kind::kExact; break;
          case 2: made.kind = Kind::kPrefix; break;
          case 3: made.kind = Kind::kSuffix; break;
          case 4:
            made = {.kind = Kind::kPresence};
            return embedded(field, [&](const WireField& inner) { return unknown(inner); }) ||
                   under("presence");
          default: return unknown(field);
        }
        return text(field, made.value);
      });
    });
  }

  bool blocks(const WireField& from, const char* name, std::vector<AddressDraft>& to) {
    return each(name, to, [&](AddressDraft& made) {
      return embedded(from, [&](const WireField& field) {
        switch (field.number) {
          case 1: return raw(field, made.bytes) || under("address");
          case 2: return number(field, made.length) || under("length");
          default: return unknown(field);
        }
      });
    });
  }

  bool ports(const WireField& from, const char* name, std::vector<std::uint32_t>& to) {
    return numbers(from, to, kMaxParts) || under(name, to.size());
  }

  bool accounts(const WireField& from, const char* name, std::vector<ServiceAccountMatch>& to) {
    return each(name, to, [&](ServiceAccountMatch& made) {
      return embedded(from, [&](const WireField& field) {
        switch (field.number) {
          case 1: return text(field, made.ns) || under("namespace");
          case 2: return text(field, made.service_account) || under("service_account");
          default: return unknown(field);
        }
      });
    });
  }

  // Appends one to a repeated field.
  template <class T, class F>
  bool each(const char* name, std::vector<T>& to, F&& decode) {
    if (++parts_ > kMaxParts) return fail("too many parts in one policy") || under(name);
    return decode(to.emplace_back()) || under(name, to.size() - 1);
  }

  std::size_t parts_ = 0;
};

// The namespace that a policy's resource name says it is in.
std::string_view namespace_of(std::string_view resource) {
  return resource.substr(0, std::min(resource.find('/'), resource.size()));
}

policy::Policy decode_policy(const RawResource& resource, const DecodeOptions& options) {
  PolicyDraft draft;
  PolicyDecoder decoder;
  if (problem_of_envelope(resource, {kAuthorizationType}, draft.problem)) {
    draft.scope = -1;
  } else if (!decoder.head(resource.bytes, draft)) {
    draft.problem = decoder.problem();
    draft.scope = -1;
    draft.dry_run = false;
  } else if (!decoder.body(resource.bytes, draft)) {
    draft.problem = decoder.problem();
  } else if (draft.ns + "/" + draft.name != resource.name) {
    draft.problem = "name: the resource is " + resource.name + ", the policy " +
                    draft.ns + "/" + draft.name;
  }
  if (draft.ns.empty()) draft.ns = namespace_of(resource.name);
  const bool is_root = std::ranges::find(options.root_namespaces, draft.ns) !=
                       options.root_namespaces.end();
  draft.scope_if_unknown = is_root ? policy::Scope::kGlobal : policy::Scope::kNamespace;
  policy::Policy policy = policy::compile(draft);
  policy.key = resource.name;  // what it is removed by, whatever it says of itself
  return policy;
}

}  // namespace

Decoded decode_authorizations(std::span<const RawResource> resources,
                              std::span<const std::string> removed,
                              const DecodeOptions& options) {
  Decoded decoded;
  decoded.delta.removed_policies.assign(removed.begin(), removed.end());
  for (const RawResource& resource : resources) {
    auto policy = std::make_shared<const policy::Policy>(decode_policy(resource, options));
    if (!policy->usable()) {
      decoded.complaints.push_back(
          {.resource = resource.name, .problem = policy->problem});
    }
    decoded.delta.policies.push_back(std::move(policy));
  }
  return decoded;
}

}  // namespace mesh::xds
