"""Runs a program under a seccomp profile, loaded by libseccomp as container runtimes do.

usage: seccomp.py PROFILE [--strict] [--without=NAME]... PROGRAM [ARG]...
       seccomp.py PROFILE --names       each name, and its number on x86_64 and aarch64 (negative: it has none)

--strict: a call that the profile does not name kills the process. --without: as if the profile did not allow that call.
"""

import ctypes
import json
import os
import sys

KILL_PROCESS, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
ARCHITECTURES = {"SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_AARCH64": 0xC00000B7}
OPERATORS = {"SCMP_CMP_NE": 1, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
EEXIST, EPERM = 17, 1

library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def must(result, what):
    if result < 0:
        sys.exit(f"{what}: {os.strerror(-result)}")


def action(name, errno):
    return {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_ERRNO": ERRNO | errno}[name]


def load(profile, strict, without):
    refusal = action(profile["defaultAction"], profile.get("defaultErrnoRet", EPERM))
    default = KILL_PROCESS if strict else refusal
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    for name in profile["architectures"]:
        result = library.seccomp_arch_add(context, ctypes.c_uint32(ARCHITECTURES[name]))
        must(0 if result == -EEXIST else result, name)
    for rule in profile["syscalls"]:
        does = action(rule["action"], rule.get("errnoRet", EPERM))
        compared = [
            Comparison(one["index"], OPERATORS[one["op"]], one["value"], one.get("valueTwo", 0))
            for one in rule.get("args", [])
        ]
        for name in set(rule["names"]) - without:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                sys.exit(f"{name}: no such system call")
            if does != default:
                array = (Comparison * len(compared))(*compared)
                must(
                    library.seccomp_rule_add_array(context, ctypes.c_uint32(does), number, len(compared), array),
                    name,
                )
    must(library.seccomp_load(context), "loading the filter")


def main(path, *arguments):
    with open(path, encoding="utf-8") as file:
        profile = json.load(file)
    strict, without = False, set()
    while arguments and arguments[0].startswith("--"):
        option, *arguments = arguments
        if option == "--names":
            for name in sorted({name for rule in profile["syscalls"] for name in rule["names"]}):
                on = [library.seccomp_syscall_resolve_name_arch(a, name.encode()) for a in ARCHITECTURES.values()]
                print(name, *on)
            return
        if option == "--strict":
            strict = True
        else:
            without.add(option.removeprefix("--without="))
    load(profile, strict, without)
    os.execvp(arguments[0], arguments)


main(*sys.argv[1:])
