#pragma once
// RequestAuthentication: the tokens that a waypoint checks on a chain. Pure.
//
// As everywhere in the ecosystem a request without a token passes, and one with a bad token is
// answered 401; who requires tokens says so in an AuthorizationPolicy. Keys that only a URL names
// are put into the object before (control/jwks); until they are, every token of such an issuer is
// refused.

#include <optional>

#include "control/envoy/catalog.h"

namespace envoy::extensions::filters::http::jwt_authn::v3 {
class JwtAuthentication;
}

namespace mesh::control {

struct Build;

// Something that cannot be read may check tokens on the chain: everything is to be denied there.
bool is_closed(Build& build, const CatalogService* service);

// False: nothing checks tokens on the chain.
bool fill_authentication(Build& build, const CatalogService* service,
                         envoy::extensions::filters::http::jwt_authn::v3::JwtAuthentication* into);

}  // namespace mesh::control
