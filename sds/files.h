#pragma once
// What Envoy reads: secrets as files of its discovery, and its bootstrap. Pure, but for replace().

#include <string>
#include <string_view>

#include "mesh/base/result.h"
#include "sds/config.h"

namespace mesh::sds {

// The certificate that the proxy speaks with, under the name "default".
std::string secret_file(std::string_view chain_pem, std::string_view key_pem);
// Whom it trusts in peers, under the name "ROOTCA".
std::string roots_file(std::string_view roots_pem);

// Discovery over mutual TLS with the secrets in config.folder; admin on loopback; readiness on
// 15021; metrics on 15020. `host`, `port`: the control plane.
std::string bootstrap_file(const Config& config, const std::string& host, unsigned port);

// Written beside it and moved there, so that a reader sees all or nothing. Mode 0600.
Result<Done> replace(const std::string& path, std::string_view content);

}  // namespace mesh::sds
