#pragma once
// The pages of port 15014. /ready and /metrics are for everybody; /debug/* wants the debug token.

#include <functional>
#include <string>

#include "control/explain.h"
#include "control/http_server.h"
#include "control/hub.h"

namespace mesh::control {

namespace kubernetes {
class Replica;
}

class DebugPages {
 public:
  // `settle` takes in what was written to the manifests until now, so that an answer includes what
  // its asker wrote before: a barrier for `weft wait`.
  // `replica`: when an API server is the store.
  DebugPages(const Hub& hub, std::string token, std::function<void()> settle = {},
             kubernetes::Replica* replica = nullptr)
      : hub_(hub),
        replica_(replica),
        token_(std::move(token)),
        settle_(std::move(settle)),
        explainer_(hub.settings()) {}

  HttpResponse answer(const admin::Request& request);

 private:
  HttpResponse ready() const;
  HttpResponse metrics() const;
  HttpResponse sync() const;
  HttpResponse problems() const;
  HttpResponse authority(const admin::Request& request) const;
  HttpResponse replica() const;
  HttpResponse applied_page(const admin::Request& request) const;
  bool may_read(const admin::Request& request) const;
  HttpResponse resources(xds::ResourceType type, std::string_view member) const;
  HttpResponse debug(const admin::Request& request);
  HttpResponse explain(const admin::Request& request);

  const Hub& hub_;
  kubernetes::Replica* const replica_;
  const std::string token_;
  const std::function<void()> settle_;
  Explainer explainer_;
};

}  // namespace mesh::control
