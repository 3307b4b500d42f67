#include "cli/http.h"

#include <curl/curl.h>

namespace mesh::cli {
namespace {

constexpr std::size_t kBodyBytesMax = 64u << 20;

std::size_t append(char* bytes, std::size_t size, std::size_t count, void* body) {
  auto& text = *static_cast<std::string*>(body);
  if (text.size() + size * count > kBodyBytesMax) return 0;
  text.append(bytes, size * count);
  return size * count;
}

}  // namespace

Outcome<HttpAnswer> http_call(const HttpRequest& request) {
  CURL* curl = ::curl_easy_init();
  if (curl == nullptr) return problem("cannot start an HTTP client");
  HttpAnswer answer;
  curl_slist* headers = nullptr;
  if (!request.bearer_token.empty()) {
    headers =
        ::curl_slist_append(headers, ("Authorization: Bearer " + request.bearer_token).c_str());
  }
  ::curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  ::curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  if (request.method == HttpMethod::kPost) ::curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
  ::curl_easy_setopt(curl, CURLOPT_PROXY, "");
  ::curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  ::curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
  ::curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  const CURLcode code = ::curl_easy_perform(curl);
  long status = 0;
  ::curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  ::curl_slist_free_all(headers);
  ::curl_easy_cleanup(curl);
  if (code != CURLE_OK) return problem(request.url + ": " + ::curl_easy_strerror(code));
  answer.status = static_cast<int>(status);
  return answer;
}

}  // namespace mesh::cli
