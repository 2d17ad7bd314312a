# Building for 64-bit ARM on another machine: cmake --toolchain cmake/aarch64.cmake with AARCH64_SYSROOT, a folder
# that holds the libraries. scripts/arm64.sh makes one, builds, and runs the tests.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(AARCH64_SYSROOT "" CACHE PATH "folder with the libraries of an arm64 Debian")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES AARCH64_SYSROOT)
set(CMAKE_SYSROOT ${AARCH64_SYSROOT})
find_program(AARCH64_EMULATOR NAMES qemu-aarch64-static qemu-aarch64)
if(AARCH64_EMULATOR)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${AARCH64_EMULATOR} -L ${AARCH64_SYSROOT})
endif()

# Programs come from this machine, everything else from the folder.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
