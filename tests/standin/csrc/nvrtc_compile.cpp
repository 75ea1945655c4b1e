// Runs the host compiler: preprocesses the program with simt.h in front, rewrites CUDA's words, makes a shared object.
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "image.h"
#include "nvrtc.h"

extern char** environ;

namespace cuda_on_cpu::nvrtc {
namespace {

namespace fs = std::filesystem;

// A folder of its own for each compilation, removed at the end.
class Workplace {
 public:
  Workplace() {
    std::string pattern = fs::temp_directory_path() / "cuda-on-cpu-XXXXXX";
    if (mkdtemp(pattern.data())) path_ = pattern;
  }
  ~Workplace() {
    std::error_code ignored;
    if (!path_.empty() && !std::getenv("CUDA_ON_CPU_KEEP")) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool write(const fs::path& path, const std::string& text) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  std::ofstream out(path, std::ios::binary);
  out << text;
  return bool(out.flush());
}

// The folder of this library, where simt.h lies beside it.
fs::path here() {
  Dl_info info;
  dladdr(reinterpret_cast<void*>(&here), &info);
  return fs::absolute(info.dli_fname).parent_path();
}

bool run(const std::string& program, const std::vector<std::string>& arguments, const fs::path& log, bool* exists) {
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child;
  const int error = posix_spawnp(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  *exists = error != ENOENT;
  if (error != 0) return false;
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Takes the temporary folder out of file names, in logs and in what __FILE__ gives.
std::string without(std::string text, const std::string& folder) {
  for (size_t at = text.find(folder); at != std::string::npos; at = text.find(folder, at))
    text.erase(at, folder.size());
  return text;
}

bool run_compiler(const std::vector<std::string>& arguments, const fs::path& folder, std::string* log) {
  std::vector<std::string> names = {"c++", "g++", "clang++"};
  if (const char* given = std::getenv("CUDA_ON_CPU_CXX")) names = {given};
  for (const auto& name : names) {
    bool exists = false;
    const bool done = run(name, arguments, folder / "log", &exists);
    if (!exists) continue;
    *log += without(read(folder / "log"), (folder / "include").string() + "/");
    return done;
  }
  *log += "cuda-on-cpu: no C++ compiler: tried c++, g++, clang++\n";
  return false;
}

// NVRTC fuses multiplications and additions unless told otherwise; so does this. Without the probes of
// -fstack-clash-protection a large frame could step over the inaccessible page at the end of a stack. -O1: most programs run for
// a shorter time than -O2 takes longer. But g++ fuses at -O2 alone.
std::vector<std::string> code_options(const Options& options) {
  // clang-format off
  std::vector<std::string> out = {options.fmad ? "-O2" : "-O1", "-w", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-Bsymbolic",
                                  "-fno-fast-math", "-fno-math-errno", "-fno-strict-aliasing", "-fwrapv",
                                  "-fno-exceptions", "-fno-rtti", "-fstack-clash-protection",
                                  options.fmad ? "-ffp-contract=fast" : "-ffp-contract=off"};
  // clang-format on
#if defined(__x86_64__)
  if (__builtin_cpu_supports("fma")) out.push_back("-mfma");
#endif
  return out;
}

std::vector<std::string> preprocessor_options(const Options& options) {
  // Without standard headers, as under NVRTC.
  std::vector<std::string> out = {"-E", "-x", "c++", "-w", "-nostdinc", "-nostdinc++", "-DCUDA_ON_CPU=1"};
  for (const char* macro : {"__CUDACC__=1", "__CUDACC_RTC__=1", "__CUDACC_VER_MAJOR__=13", "__CUDACC_VER_MINOR__=0"})
    out.push_back(std::string("-D") + macro);
  out.push_back("-D__CUDA_ARCH__=" + std::to_string(options.architecture * 10));
  if (options.fmad) out.push_back("-DCUDA_ON_CPU_FMAD=1");
  out.insert(out.end(), options.passed_on.begin(), options.passed_on.end());
  return out;
}

std::string header_problem(const std::string& name) {
  const fs::path path = name;
  if (name.empty() || path.is_absolute()) return "is not a relative path";
  for (const auto& part : path)
    if (part == "..") return "leaves its folder";
  return "";
}

// Writes the text, with the planted faults in it, as NVRTC's caller laid it out.
Result write_program(Program& program, const fs::path& folder, const fs::path& start) {
  std::string source = program.source;
  auto headers = program.headers;
  replace_texts(program.name, &source, &headers);
  if (!apply_patches(&source, &headers, &program.log)) return kCompilation;
  for (const auto& [name, text] : headers) {
    const std::string problem = header_problem(name);
    if (!problem.empty()) {
      program.log = "cuda-on-cpu: the header name \"" + name + "\" " + problem + "\n";
      return kCompilation;
    }
    if (!write(folder / "include" / name, text)) return kInternalError;
  }
  const std::string simt = "#include \"" + (here() / "simt.h").string() + "\"\n";
  return write(start, simt + "#line 1 \"" + program.name + "\"\n" + source + "\n") ? kSuccess : kInternalError;
}

std::string make_image(const std::string& object, const Options& options) {
  ImageHeader header{};
  std::memcpy(header.magic, kImageMagic, sizeof header.magic);
  header.size = object.size();
  header.architecture = options.architecture;
  header.is_cubin = options.is_cubin;
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + object;
}

}  // namespace

Result compile(Program& program, const Options& options) {
  if (const char* fail = std::getenv("CUDA_ON_CPU_NVRTC_FAIL"); fail && *fail && *fail != '0') {
    program.log = program.name + "(1): error: compilation failed because CUDA_ON_CPU_NVRTC_FAIL is set\n";
    return kCompilation;
  }
  const Workplace workplace;
  const fs::path folder = workplace.path(), include = folder / "include", start = include / "cuda-on-cpu-start.cpp",
                 text = folder / "program.ii", object = folder / "program.so";
  if (folder.empty()) return kInternalError;
  if (const Result result = write_program(program, folder, start); result != kSuccess) return result;

  std::vector<std::string> arguments = preprocessor_options(options);
  arguments.insert(arguments.end(), {"-I" + include.string(), start.string(), "-o", text.string()});
  if (!run_compiler(arguments, folder, &program.log)) return kCompilation;

  program.kernels.clear();
  const std::string preprocessed = without(read(text), include.string() + "/");
  if (!write(text, rewrite_kernels(preprocessed, &program.kernels))) return kInternalError;

  arguments = code_options(options);
  for (const auto& option : options.passed_on)
    if (option.rfind("-std=", 0) == 0) arguments.push_back(option);
  arguments.insert(arguments.end(), {text.string(), "-o", object.string()});
  if (!run_compiler(arguments, folder, &program.log)) return kCompilation;

  program.image = make_image(read(object), options);
  program.is_cubin = options.is_cubin;
  program.compiled = true;
  return kSuccess;
}

}  // namespace cuda_on_cpu::nvrtc
