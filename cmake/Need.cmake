# need(NAME header library package): finds a C library or says which package has it.
# Sets NAME_INCLUDE and NAME_LIBRARY; an empty library means headers only.
function(need name header library package)
  find_path(${name}_INCLUDE ${header})
  if(library)
    find_library(${name}_LIBRARY ${library})
  endif()
  if(NOT ${name}_INCLUDE OR (library AND NOT ${name}_LIBRARY))
    message(FATAL_ERROR "${header} not found: install ${package} (scripts/setup.sh does)")
  endif()
endfunction()
