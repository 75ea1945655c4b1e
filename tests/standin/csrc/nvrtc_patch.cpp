// Planted faults: a test replaces a piece of a kernel's text and expects the engine to notice. Or the environment names a
// folder, CUDA_ON_CPU_TEXTS, whose files take the place of sources and headers of the same name.
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <utility>

#include "nvrtc.h"

namespace cuda_on_cpu::nvrtc {
namespace {

std::mutex lock_;
std::vector<std::pair<std::string, std::string>> patches_;

size_t occurrences(const std::string& text, const std::string& piece) {
  size_t count = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + piece.size())) count++;
  return count;
}

bool replace(std::string* text, const std::string& from, const std::string& to) {
  const size_t at = text->find(from);
  if (at != std::string::npos) text->replace(at, from.size(), to);
  return at != std::string::npos;
}

}  // namespace

void replace_texts(const std::string& name, std::string* source, std::map<std::string, std::string>* headers) {
  const char* folder = std::getenv("CUDA_ON_CPU_TEXTS");
  if (!folder || !*folder) return;
  const auto replace_by_file = [&](const std::string& file, std::string* text) {
    std::ifstream in(std::string(folder) + "/" + file, std::ios::binary);
    if (in) text->assign(std::istreambuf_iterator<char>(in), {});
  };
  replace_by_file(name, source);
  for (auto& [header, text] : *headers) replace_by_file(header, &text);
}

bool apply_patches(std::string* source, std::map<std::string, std::string>* headers, std::string* log) {
  std::lock_guard<std::mutex> guard(lock_);
  for (const auto& [from, to] : patches_) {
    size_t count = from.empty() ? 0 : occurrences(*source, from);
    for (const auto& [name, text] : *headers) count += from.empty() ? 0 : occurrences(text, from);
    if (count != 1) {
      *log = "cuda_on_cpu_patch: \"" + from + "\" occurs " + std::to_string(count) +
             " times in the source and its headers, but must occur exactly once\n";
      return false;
    }
    if (replace(source, from, to)) continue;
    for (auto& [name, text] : *headers)
      if (replace(&text, from, to)) break;
  }
  return true;
}

// In all following compilations `from` becomes `to`.
EXPORT void cuda_on_cpu_patch(const char* from, const char* to) {
  std::lock_guard<std::mutex> guard(lock_);
  patches_.emplace_back(from, to);
}

EXPORT void cuda_on_cpu_clear_patches() {
  std::lock_guard<std::mutex> guard(lock_);
  patches_.clear();
}

}  // namespace cuda_on_cpu::nvrtc
