# What is installed beside the programs: licence, docs, manual pages and the shells' completion, made by the program from
# its own tables. DESTDIR and --prefix are obeyed, and install_manifest.txt lists all of it for cmake/uninstall.cmake.
include(GNUInstallDirs)
set(made ${PROJECT_BINARY_DIR}/share)
add_custom_command(
  OUTPUT ${made}/_dsmoe ${made}/dsmoe.bash ${made}/dsmoe.fish ${made}/man/dsmoe.1
  COMMAND ${CMAKE_COMMAND} -E make_directory ${made}
  COMMAND dsmoe completion bash > ${made}/dsmoe.bash
  COMMAND dsmoe completion zsh > ${made}/_dsmoe
  COMMAND dsmoe completion fish > ${made}/dsmoe.fish
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${made}/man
  COMMAND dsmoe manual -o ${made}/man
  DEPENDS dsmoe
  COMMENT "Writing manual pages and completion")
add_custom_target(dsmoe_shell_files ALL DEPENDS ${made}/man/dsmoe.1)
if(TARGET programs)
  add_dependencies(programs dsmoe_shell_files)
endif()

install(FILES LICENSE README.md CHANGELOG.md CONTRIBUTING.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
install(DIRECTORY ${made}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${made}/dsmoe.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME dsmoe)
install(FILES ${made}/_dsmoe DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${made}/dsmoe.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
