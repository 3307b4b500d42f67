#include "mesh/kube/informer.h"

#include <utility>

namespace mesh::kube {

using Clock = std::chrono::steady_clock;

// The open request.
class Informer::Open final : public HttpHandler {
 public:
  Open(std::shared_ptr<Informer> informer, bool watch)
      : informer_(std::move(informer)), watch_(watch) {}

  bool on_data(std::string_view bytes) override {
    if (!watch_) {
      page_.append(bytes);
      return true;
    }
    const auto fed = lines_.feed(bytes, [&](std::string_view line) {
      return informer_->reflector_.frame(line, Clock::now());
    });
    if (!fed) informer_->reflector_.too_large(Clock::now());
    closed_ = !fed || !*fed;
    if (closed_) {
      informer_->closed();
    } else {
      informer_->changed();
    }
    return !closed_;
  }

  void on_done() override {
    Reflector& reflector = informer_->reflector_;
    if (watch_) {
      reflector.ended(Clock::now());
    } else {
      const auto page =
          read_list_page(page_, [&](manifest::Value&& item) { reflector.item(std::move(item)); });
      page_ = {};
      if (page) {
        reflector.page(*page, Clock::now());
      } else {
        reflector.malformed(page.error(), Clock::now());
      }
    }
    informer_->closed();
  }

  void on_refused(const Status& status) override {
    if (status.code == 413) {
      informer_->reflector_.too_large(Clock::now());
    } else {
      informer_->reflector_.refused(status, Clock::now());
    }
    informer_->closed();
  }

  void on_broken(std::string why) override {
    if (closed_) return;
    informer_->reflector_.broken(std::move(why), Clock::now());
    informer_->closed();
  }

 private:
  const std::shared_ptr<Informer> informer_;
  const bool watch_;
  bool closed_ = false;
  std::string page_;
  LineSplitter lines_;
};

Informer::Informer(Http& http, Reflector::Options options, Sink& sink,
                   std::function<void()> changed)
    : http_(http), changed_(std::move(changed)), reflector_(std::move(options), sink) {}

void Informer::run() {
  http_.post([self = shared_from_this()] { self->step(); });
}

void Informer::step() {
  auto request = reflector_.next(Clock::now());
  if (!request) return;
  HttpRequest http_request;
  http_request.target = std::move(request->target);
  http_request.stream = request->watch;
  http_.start(std::move(http_request), std::make_shared<Open>(shared_from_this(), request->watch));
}

void Informer::changed() {
  {
    const std::lock_guard lock(mutex_);
    health_ = reflector_.health();
  }
  changed_();
}

void Informer::closed() {
  changed();
  http_.at(reflector_.wake(), [self = shared_from_this()] { self->step(); });
}

Reflector::Health Informer::health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

}  // namespace mesh::kube
