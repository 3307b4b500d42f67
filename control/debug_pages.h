#pragma once
// The pages of port 15014. /ready and /metrics are for everybody; /debug/* wants the debug token.

#include <string>

#include "control/explain.h"
#include "control/http_server.h"
#include "control/hub.h"

namespace mesh::control {

class DebugPages {
 public:
  DebugPages(const Hub& hub, std::string token)
      : hub_(hub), token_(std::move(token)), explainer_(hub.settings()) {}

  HttpResponse answer(const admin::Request& request);

 private:
  HttpResponse ready() const;
  HttpResponse metrics() const;
  HttpResponse sync() const;
  HttpResponse problems() const;
  HttpResponse resources(xds::ResourceType type, std::string_view member) const;
  HttpResponse debug(const admin::Request& request);
  HttpResponse explain(const admin::Request& request);

  const Hub& hub_;
  const std::string token_;
  Explainer explainer_;
};

}  // namespace mesh::control
