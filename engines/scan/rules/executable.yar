rule pe_executable : executable windows
{
    meta:
        description = "A program or library for Windows (Portable Executable)"
        severity = "info"
        reference = "https://learn.microsoft.com/windows/win32/debug/pe-format"
    condition:
        uint16(0) == 0x5A4D and uint32(uint32(0x3C)) == 0x00004550
}

rule elf_executable : executable linux
{
    meta:
        description = "A program or library for Linux or another Unix (ELF)"
        severity = "info"
        reference = "https://refspecs.linuxfoundation.org/elf/elf.pdf"
    condition:
        uint32be(0) == 0x7F454C46 and (uint8(4) == 1 or uint8(4) == 2)
}

rule mach_o_executable : executable macos
{
    meta:
        description = "A program or library for macOS (Mach-O, 64 bits)"
        severity = "info"
        reference = "https://github.com/apple-oss-distributions/xnu/blob/main/EXTERNAL_HEADERS/mach-o/loader.h"
    condition:
        uint32(0) == 0xFEEDFACF
}

rule upx_packed : packer
{
    meta:
        description = "An executable packed with UPX, which hides its code from a look at the file"
        severity = "low"
        reference = "https://upx.github.io"
    strings:
        $magic = "UPX!"
        $section_0 = "UPX0"
        $section_1 = "UPX1"
        $notice = "This file is packed with the UPX executable packer"
    condition:
        (uint16(0) == 0x5A4D or uint32be(0) == 0x7F454C46)
        and $magic and (all of ($section_*) or $notice)
}
