#!/usr/bin/env bash
# A wheel of llama-cpp-python with the libraries that it loads and nothing else:  llama_wheel.sh PYTHON FOLDER
# PyPI has only its source, which builds about twice of what is used. A wheel in the package client's cache is taken as it is.
set -euo pipefail
python="$1"; mkdir -p "$2"; folder="$(cd "$2" && pwd)"
cd "$(dirname "$0")/.."
version="$(sed -n 's/^llama[_-]cpp[_-]python==//p' constraints.txt)"
cached="$("$python" -m pip cache list --format=abspath llama_cpp_python 2>/dev/null | grep -- "-$version-" | head -1 || true)"
if [ -f "$cached" ]; then cp "$cached" "$folder/"; exit 0; fi

work="$(mktemp -d)"; trap 'rm -rf "$work"' EXIT
"$python" -m pip install --quiet "cmake>=3.21" ninja wheel
PATH="$(dirname "$("$python" -c 'import sys; print(sys.executable)')"):$PATH"
"$python" -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest "$work" "llama-cpp-python==$version"
tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work"
cmake -S "$work"/llama_cpp_python-*/vendor/llama.cpp -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
  -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TESTS=OFF \
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
  "-DCMAKE_INSTALL_RPATH=\$ORIGIN;@loader_path" ${CMAKE_ARGS:-} >"$work/cmake.log" || { cat "$work/cmake.log"; exit 1; }
ninja -C "$work/build" llama
# Not into the cache, where other projects would find a wheel without its libraries.
CMAKE_ARGS="-DLLAMA_BUILD=OFF" "$python" -m pip wheel --quiet --no-cache-dir --no-deps --wheel-dir "$work/empty" "$work"/llama_cpp_python-*.tar.gz
"$python" -m wheel unpack --dest "$work/unpacked" "$work"/empty/*.whl >/dev/null
root="$(echo "$work"/unpacked/*)"
mkdir -p "$root/llama_cpp/lib"
find "$work/build/bin" \( -name 'lib*.so' -o -name 'lib*.so.[0-9]' -o -name 'lib*.dylib' \) -exec cp -L {} "$root/llama_cpp/lib/" \;
"$python" -m wheel pack --dest-dir "$folder" "$root" >/dev/null
