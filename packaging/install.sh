#!/bin/sh
# SPDX-License-Identifier: MIT
# packaging/install.sh install|uninstall|list COMPONENT...: carries out packaging/files. The directories come from
# packaging/install.mk by the environment. `list` prints what would be installed, a path a line.
set -eu
action=$1
shift
version=$(sed -n 's/^VERSION := //p' Makefile)
core_version=$(sed -n 's/^#define FACET_CORE_VERSION "\(.*\)"/\1/p' core/version.h)
[ -n "$version" ] && [ -n "$core_version" ]

# @WORDS@ of a text, replaced.
words() {
    sed -e "s|@bindir@|$bindir|g" -e "s|@libdir@|$libdir|g" -e "s|@includedir@|$includedir|g" \
        -e "s|@pkglibexecdir@|$pkglibexecdir|g" -e "s|@pkgdatadir@|$pkgdatadir|g" -e "s|@mandir@|$mandir|g" \
        -e "s|@grubdir@|$grubdir|g" -e "s|@configdir@|$configdir|g" -e "s|@completiondir@|$completiondir|g" \
        -e "s|@pkgconfigdir@|$pkgconfigdir|g" -e "s|@docdir@|$docdir|g" -e "s|@agentdocdir@|$agentdocdir|g" \
        -e "s|@coredocdir@|$coredocdir|g" -e "s|@prefix@|$prefix|g" -e "s|@VERSION@|$version|g" \
        -e "s|@CORE_VERSION@|$core_version|g" \
        -e "s|@bin_to_data@|$(realpath -ms --relative-to="$bindir" "$pkgdatadir")|g" \
        -e "s|@runner_to_libexec@|$(realpath -ms --relative-to="$pkgdatadir/runner" "$pkglibexecdir")|g"
}

# put MODE SOURCE DESTINATION: one file, all or nothing.
put() {
    mkdir -p "$(dirname "$3")"
    new=$3.new
    case $1,$2 in
    link,*) ln -sf "$(realpath -ms --relative-to="$(dirname "${3#"$DESTDIR"}")" "$2")" "$new" ;;
    *,*.in) words <"$2" >"$new" && chmod "$1" "$new" ;;
    *) install -m "$1" "$2" "$new" ;;
    esac
    mv -f "$new" "$3"
}

remove() {
    rm -f "$3"
    # What only Facet has, once it is empty; and bin, lib and their like only below a DESTDIR.
    directory=$(dirname "$3")
    while case $directory in *facet*) ;; *) false ;; esac; do
        rmdir "$directory" 2>/dev/null || break
        directory=$(dirname "$directory")
    done
}

one() {
    case $action in
    install) put "$1" "$2" "$3" ;;
    uninstall) remove "$1" "$2" "$3" ;;
    list) echo "$3" ;;
    *) echo "packaging/install.sh: unknown action $action" >&2 && exit 2 ;;
    esac
}

files() {
    words <packaging/files | while read -r component mode source destination; do
        case " $* " in *" $component "*) echo "$mode $source $DESTDIR$destination" ;; esac
    done
}

files "$@" | while read -r mode source destination; do
    case $source in build:*) source=$B/${source#build:} ;; esac
    case $source in
    *"*"*) for file in $source; do [ ! -f "$file" ] || one "$mode" "$file" "$destination/$(basename "$file")"; done ;;
    *) one "$mode" "$source" "$destination" ;;
    esac
done
