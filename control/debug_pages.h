#pragma once
// The pages of port 15014. /ready and /metrics are for everybody; /debug/* wants the debug token.

#include <string>

#include "control/http_server.h"
#include "control/hub.h"

namespace mesh::control {

class DebugPages {
 public:
  DebugPages(const Hub& hub, std::string token) : hub_(hub), token_(std::move(token)) {}

  HttpResponse answer(const admin::Request& request) const;

 private:
  HttpResponse ready() const;
  HttpResponse metrics() const;
  HttpResponse sync() const;
  HttpResponse problems() const;
  HttpResponse resources(xds::ResourceType type, std::string_view member) const;
  HttpResponse debug(const admin::Request& request) const;

  const Hub& hub_;
  const std::string token_;
};

}  // namespace mesh::control
