#include "mesh/telemetry/metrics.h"

#include <dirent.h>
#include <sys/resource.h>

#include <charconv>

#include "mesh/base/check.h"

namespace mesh::telemetry {

void append_escaped_label(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\\' || c == '"') out.push_back('\\');
    if (c == '\n') {
      out += "\\n";
    } else {
      out.push_back(c);
    }
  }
}

LabelText& LabelText::add(std::string_view name, std::string_view value) {
  if (!text_.empty()) text_.push_back(',');
  text_ += name;
  text_ += "=\"";
  append_escaped_label(text_, value);
  text_.push_back('"');
  return *this;
}

void append_number(std::string& out, double value) {
  char text[384];  // the longest double without an exponent
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed).ptr;
  out.append(text, end);
}

void append_bound(std::string& out, double value) {
  const std::size_t before = out.size();
  append_number(out, value);
  if (out.find('.', before) == std::string::npos) out += ".0";
}

void append_family_header(std::string& out, std::string_view name, std::string_view help,
                          std::string_view type, std::string_view unit) {
  out.append("# HELP ").append(name).append(" ").append(help).append("\n");
  out.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  if (!unit.empty()) out.append("# UNIT ").append(name).append(" ").append(unit).append("\n");
}

Metrics::Metrics() {
  source([this](std::string& out) {
    std::uint64_t refused = 0;
    {
      const std::scoped_lock lock(mutex_);
      refused = refused_;
    }
    if (refused == 0) return;
    append_family_header(out, "weft_metrics_series_refused",
                         "Updates of series beyond the limit of a family.", "counter");
    out += "weft_metrics_series_refused_total " + std::to_string(refused) + "\n";
  });
}

Metrics::Family Metrics::add_family(FamilyState state) {
  const std::scoped_lock lock(mutex_);
  for (const auto& family : families_) {
    MESH_CHECK(family->source || family->name != state.name);
  }
  families_.push_back(std::make_unique<FamilyState>(std::move(state)));
  return static_cast<Family>(families_.size() - 1);
}

Metrics::Family Metrics::counter(std::string_view name, std::string_view help,
                                 std::string_view unit) {
  return add_family({.kind = MetricKind::kCounter,
                     .name = std::string(name),
                     .help = std::string(help),
                     .unit = std::string(unit)});
}

Metrics::Family Metrics::gauge(std::string_view name, std::string_view help) {
  return add_family(
      {.kind = MetricKind::kGauge, .name = std::string(name), .help = std::string(help)});
}

Metrics::Family Metrics::histogram(std::string_view name, std::string_view help,
                                   std::string_view unit, std::vector<double> bounds) {
  return add_family({.kind = MetricKind::kHistogram,
                     .name = std::string(name),
                     .help = std::string(help),
                     .unit = std::string(unit),
                     .bounds = std::move(bounds)});
}

void Metrics::gauge_of(std::string_view name, std::string_view help,
                       std::function<double()> value) {
  source([name = std::string(name), help = std::string(help),
          value = std::move(value)](std::string& out) {
    append_family_header(out, name, help, "gauge");
    out.append(name).append(" ");
    append_number(out, value());
    out.push_back('\n');
  });
}

void Metrics::source(Source source) {
  auto state = std::make_unique<FamilyState>();
  state->source = std::move(source);
  const std::scoped_lock lock(mutex_);
  families_.push_back(std::move(state));
}

Metrics::Series* Metrics::series(FamilyState& family, std::string_view labels) {
  auto found = family.series.find(labels);
  if (found == family.series.end()) {
    if (family.series.size() >= kSeriesMax) {
      ++refused_;
      return nullptr;
    }
    found = family.series.emplace(std::string(labels), Series{}).first;
    found->second.buckets.resize(family.bounds.size());
  }
  return &found->second;
}

void Metrics::add(Family family, std::string_view labels, std::uint64_t amount) {
  const std::scoped_lock lock(mutex_);
  if (Series* one = series(*families_[family], labels)) one->count += amount;
}

void Metrics::set(Family family, std::string_view labels, double value) {
  const std::scoped_lock lock(mutex_);
  if (Series* one = series(*families_[family], labels)) one->value = value;
}

void Metrics::observe(Family family, std::string_view labels, double value) {
  const std::scoped_lock lock(mutex_);
  FamilyState& state = *families_[family];
  Series* one = series(state, labels);
  if (one == nullptr) return;
  ++one->count;
  one->value += value;
  for (std::size_t i = 0; i < state.bounds.size(); ++i) {
    if (value <= state.bounds[i]) ++one->buckets[i];
  }
}

namespace {

void append_sample(std::string& out, std::string_view name, std::string_view suffix,
                   std::string_view labels) {
  out.append(name).append(suffix);
  if (!labels.empty()) out.append("{").append(labels).append("}");
  out.push_back(' ');
}

}  // namespace

void Metrics::render_family(const FamilyState& family, std::string& out) {
  if (family.series.empty()) return;
  constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
  append_family_header(out, family.name, family.help, kTypes[static_cast<std::size_t>(family.kind)],
                       family.unit);
  for (const auto& [labels, one] : family.series) {
    switch (family.kind) {
      case MetricKind::kCounter:
        append_sample(out, family.name, "_total", labels);
        out += std::to_string(one.count);
        break;
      case MetricKind::kGauge:
        append_sample(out, family.name, "", labels);
        append_number(out, one.value);
        break;
      case MetricKind::kHistogram: {
        append_sample(out, family.name, "_sum", labels);
        append_bound(out, one.value);
        out.push_back('\n');
        append_sample(out, family.name, "_count", labels);
        out += std::to_string(one.count);
        const std::string_view comma = labels.empty() ? "" : ",";
        for (std::size_t i = 0; i < family.bounds.size(); ++i) {
          out.append("\n").append(family.name).append("_bucket{le=\"");
          append_bound(out, family.bounds[i]);
          out.append("\"").append(comma).append(labels).append("} ");
          out += std::to_string(one.buckets[i]);
        }
        out.append("\n").append(family.name).append("_bucket{le=\"+Inf\"");
        out.append(comma).append(labels).append("} ").append(std::to_string(one.count));
        break;
      }
    }
    out.push_back('\n');
  }
}

std::string Metrics::render() {
  std::string out;
  for (std::size_t i = 0;; ++i) {
    Source source;
    {
      const std::scoped_lock lock(mutex_);
      if (i >= families_.size()) break;
      if (!families_[i]->source) {
        render_family(*families_[i], out);
        continue;
      }
      source = families_[i]->source;
    }
    source(out);
  }
  out += "# EOF\n";
  return out;
}

void Metrics::evict(std::chrono::nanoseconds now, std::chrono::nanoseconds idle) {
  const std::scoped_lock lock(mutex_);
  for (const auto& family : families_) {
    if (family->kind == MetricKind::kGauge) continue;
    for (auto entry = family->series.begin(); entry != family->series.end();) {
      Series& one = entry->second;
      if (one.changed.count() < 0 || one.seen != one.count) {
        one.changed = now;
        one.seen = one.count;
      }
      entry = now - one.changed >= idle ? family->series.erase(entry) : std::next(entry);
    }
  }
}

namespace {

double open_descriptors() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  double count = -1;  // the folder's own descriptor
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(folder);
  return count;
}

double max_descriptors() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

void add_process_metrics(Metrics& metrics) {
  metrics.gauge_of("process_open_fds", "Number of open file descriptors", open_descriptors);
  metrics.gauge_of("process_max_fds", "Maximum number of file descriptors", max_descriptors);
}

}  // namespace mesh::telemetry
