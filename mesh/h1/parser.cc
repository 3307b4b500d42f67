#include "mesh/h1/parser.h"

#include <llhttp.h>

#include <algorithm>
#include <string>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/h1/fields.h"

namespace mesh::h1 {

struct Parser::Impl {
  Impl(Kind of, const Limits& with) : kind(of), limits(with) { begin(); }

  Kind kind;
  Limits limits;
  llhttp_t llhttp{};
  Fault fault = Fault::kNone;

  // Of the message being read.
  bool head_done = false;
  bool started = false;
  bool head_is_new = false;
  bool ended = false;
  bool answers_head = false;  // kResponses: the request was HEAD
  bool trailing = false;      // header callbacks are about trailers
  bool in_value = false;      // the last header callback was a value
  std::string target;
  h2::Headers fields;
  h2::Headers trailers;
  std::size_t head_bytes = 0;
  std::size_t trailer_bytes = 0;
  std::size_t extension_bytes = 0;
  RequestHead request;
  ResponseHead response;
  std::vector<std::span<const std::byte>>* body = nullptr;

  void begin();
  int fail(Fault why) {
    if (fault == Fault::kNone) fault = why;
    return HPE_USER;
  }
  int count(std::size_t bytes) {
    std::size_t& used = trailing ? trailer_bytes : head_bytes;
    used += bytes;
    const std::size_t most = trailing ? limits.trailers_bytes_max : limits.headers_bytes_max;
    return used > most ? fail(Fault::kHeadersTooLarge) : 0;
  }
  int on_target(std::string_view part);
  int on_name(std::string_view part);
  int on_value(std::string_view part);
  int on_headers_complete();
};

namespace {

Parser::Impl& impl_of(llhttp_t* parser) { return *static_cast<Parser::Impl*>(parser->data); }

int message_begin(llhttp_t* parser) {
  impl_of(parser).started = true;
  return 0;
}
int url(llhttp_t* parser, const char* at, std::size_t size) {
  return impl_of(parser).on_target({at, size});
}
int status_text(llhttp_t* parser, const char*, std::size_t size) {
  return impl_of(parser).count(size);
}
int header_field(llhttp_t* parser, const char* at, std::size_t size) {
  return impl_of(parser).on_name({at, size});
}
int header_value(llhttp_t* parser, const char* at, std::size_t size) {
  return impl_of(parser).on_value({at, size});
}
int headers_complete(llhttp_t* parser) { return impl_of(parser).on_headers_complete(); }
int body(llhttp_t* parser, const char* at, std::size_t size) {
  impl_of(parser).body->push_back(std::as_bytes(std::span(at, size)));
  return 0;
}
int chunk_header(llhttp_t* parser) {
  Parser::Impl& impl = impl_of(parser);
  impl.extension_bytes = 0;
  if (parser->content_length == 0) impl.trailing = true;
  return 0;
}
int chunk_extension(llhttp_t* parser, const char*, std::size_t size) {
  Parser::Impl& impl = impl_of(parser);
  impl.extension_bytes += size;
  return impl.extension_bytes > impl.limits.chunk_extension_max
             ? impl.fail(Fault::kExtensionTooLong)
             : 0;
}
// Once for each name and value, however many pieces it came in.
int chunk_extension_mark(llhttp_t* parser) { return chunk_extension(parser, nullptr, 1); }
int message_complete(llhttp_t* parser) {
  impl_of(parser).ended = true;
  return HPE_PAUSED;
}

const llhttp_settings_t& settings() {
  static const llhttp_settings_t table = [] {
    llhttp_settings_t made;
    llhttp_settings_init(&made);
    made.on_message_begin = message_begin;
    made.on_url = url;
    made.on_status = status_text;
    made.on_header_field = header_field;
    made.on_header_value = header_value;
    made.on_headers_complete = headers_complete;
    made.on_body = body;
    made.on_chunk_header = chunk_header;
    made.on_chunk_extension_name = chunk_extension;
    made.on_chunk_extension_value = chunk_extension;
    made.on_chunk_extension_name_complete = chunk_extension_mark;
    made.on_chunk_extension_value_complete = chunk_extension_mark;
    made.on_message_complete = message_complete;
    return made;
  }();
  return table;
}

// What llhttp complains of, as we name it. `in_head`: before the empty line.
Fault fault_of(llhttp_errno_t error) {
  switch (error) {
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_INVALID_CHUNK_SIZE:
    case HPE_INVALID_TRANSFER_ENCODING:
      return Fault::kFraming;
    case HPE_INVALID_URL:
      return Fault::kTarget;
    case HPE_INVALID_EOF_STATE:
      return Fault::kTruncated;
    default:
      return Fault::kSyntax;
  }
}

}  // namespace

void Parser::Impl::begin() {
  llhttp_init(&llhttp, kind == Kind::kRequests ? HTTP_REQUEST : HTTP_RESPONSE, &settings());
  llhttp.data = this;
  head_done = started = head_is_new = ended = answers_head = trailing = in_value = false;
  target.clear();
  fields.clear();
  trailers.clear();
  head_bytes = trailer_bytes = extension_bytes = 0;
}

int Parser::Impl::on_target(std::string_view part) {
  target.append(part);
  if (target.size() > limits.target_max) return fail(Fault::kTargetTooLong);
  return count(part.size());
}

int Parser::Impl::on_name(std::string_view part) {
  h2::Headers& into = trailing ? trailers : fields;
  if (into.empty() || in_value) {
    if (into.size() >= limits.headers_max) return fail(Fault::kHeadersTooLarge);
    into.emplace_back();
    in_value = false;
    if (count(4) != 0) return HPE_USER;
  }
  for (const char c : part) into.back().name.push_back(lower(c));
  return count(part.size());
}

int Parser::Impl::on_value(std::string_view part) {
  in_value = true;
  (trailing ? trailers : fields).back().value.append(part);
  return count(part.size());
}

int Parser::Impl::on_headers_complete() {
  head_done = head_is_new = true;
  in_value = false;
  for (h2::Header& field : fields) trim(field.value);
  const Framed framed{.chunked = (llhttp.flags & F_CHUNKED) != 0,
                      .has_length = (llhttp.flags & F_CONTENT_LENGTH) != 0,
                      .length = llhttp.content_length,
                      .minor = llhttp.http_minor};
  if (llhttp.http_major != 1 || llhttp.http_minor > 1) return fail(Fault::kSyntax);
  Fault found = Fault::kNone;
  if (kind == Kind::kRequests) {
    request = {};
    request.method = llhttp_method_name(static_cast<llhttp_method_t>(llhttp.method));
    found = finish_request(request, target, std::move(fields), framed);
  } else {
    response = {};
    response.status = llhttp.status_code;
    found = finish_response(response, std::move(fields), framed, answers_head);
  }
  fields = {};
  if (found != Fault::kNone) return fail(found);
  return answers_head ? 1 : 0;
}

Parser::Parser(Kind kind, const Limits& limits) : impl_(std::make_unique<Impl>(kind, limits)) {}
Parser::~Parser() = default;
Parser::Parser(Parser&& other) noexcept = default;
Parser& Parser::operator=(Parser&&) noexcept = default;

Parsed Parser::parse(std::span<const std::byte> input,
                     std::vector<std::span<const std::byte>>& into) {
  Impl& impl = *impl_;
  Parsed parsed;
  if (impl.fault != Fault::kNone || input.empty()) return parsed;
  if (std::exchange(impl.ended, false)) impl.begin();
  impl.body = &into;
  const auto* data = reinterpret_cast<const char*>(input.data());
  const llhttp_errno_t error = llhttp_execute(&impl.llhttp, data, input.size());
  impl.body = nullptr;
  parsed.consumed = input.size();
  if (impl.ended) {
    parsed.consumed = static_cast<std::size_t>(llhttp_get_error_pos(&impl.llhttp) - data);
    parsed.end = true;
  } else if (error != HPE_OK) {
    impl.fail(fault_of(error));
    into.clear();
    return {};
  } else if (!impl.head_done && impl.count(impl.started ? 0 : input.size()) != 0) {
    return {};  // nothing but empty lines
  }
  parsed.head = std::exchange(impl.head_is_new, false);
  return parsed;
}

bool Parser::finish() {
  Impl& impl = *impl_;
  if (impl.fault != Fault::kNone) return false;
  if (!in_message()) return true;
  std::vector<std::span<const std::byte>> none;
  impl.body = &none;
  const bool until_end = impl.head_done && impl.kind == Kind::kResponses &&
                         impl.response.framing == Framing::kUntilEnd;
  if (until_end) llhttp_finish(&impl.llhttp);
  impl.body = nullptr;
  if (!impl.ended) impl.fail(Fault::kTruncated);
  return impl.ended;
}

void Parser::expect_response_to(std::string_view method) {
  MESH_CHECK(impl_->kind == Kind::kResponses && !in_message());
  impl_->begin();
  impl_->answers_head = method == "HEAD";
}

RequestHead Parser::take_request() { return std::move(impl_->request); }
ResponseHead Parser::take_response() {
  const Framing framing = impl_->response.framing;
  ResponseHead head = std::move(impl_->response);
  impl_->response.framing = framing;  // finish() asks
  return head;
}

h2::Headers Parser::take_trailers() {
  h2::Headers trailers = std::exchange(impl_->trailers, {});
  for (h2::Header& field : trailers) trim(field.value);
  std::erase_if(trailers, [](const h2::Header& field) { return !may_trail(field.name); });
  return trailers;
}

Fault Parser::fault() const { return impl_->fault; }
bool Parser::in_message() const { return impl_->started && !impl_->ended; }

}  // namespace mesh::h1
