rule powershell_download_cradle : script windows
{
    meta:
        description = "PowerShell that fetches code and runs it"
        severity = "high"
        reference = "https://attack.mitre.org/techniques/T1059/001/"
    strings:
        $runs_1 = /\bIEX\b/ nocase ascii wide
        $runs_2 = "Invoke-Expression" nocase ascii wide
        $runs_3 = "Start-Process" nocase ascii wide
        $fetches_1 = /\.Download(String|File|Data)\s{0,8}\(/ nocase ascii wide
        $fetches_2 = "Invoke-WebRequest" nocase ascii wide
        $fetches_3 = "Invoke-RestMethod" nocase ascii wide
        $fetches_4 = "Start-BitsTransfer" nocase ascii wide
    condition:
        any of ($runs_*) and any of ($fetches_*)
}

rule powershell_encoded_command : script windows
{
    meta:
        description = "PowerShell started with a command that is hidden in base64"
        severity = "high"
        reference = "https://attack.mitre.org/techniques/T1027/010/"
    strings:
        $command = /powershell(\.exe)?[^\r\n]{1,80}\s[-\/]e(nc|ncodedcommand|c)?\s{1,8}['"]?[A-Za-z0-9+\/]{40}/ nocase ascii wide
    condition:
        $command
}

rule shell_pipes_download : script unix
{
    meta:
        description = "A shell command that fetches a script and runs it unseen"
        severity = "medium"
        reference = "https://attack.mitre.org/techniques/T1059/004/"
    strings:
        $pipe = /\b(curl|wget)\s[^\r\n|;]{1,200}\|\s{0,8}(sudo\s{1,8})?(ba|da|z|k)?sh\b/
    condition:
        $pipe
}

rule reverse_shell : script unix
{
    meta:
        description = "A shell whose input and output are connected to another machine"
        severity = "high"
        reference = "https://attack.mitre.org/techniques/T1059/004/"
    strings:
        $bash = /(ba)?sh\s{1,8}-i\s{0,8}>&\s{0,8}\/dev\/tcp\//
        $netcat = /\bnc(at)?\s[^\r\n]{0,80}-e\s{0,8}\/bin\/(ba)?sh\b/
    condition:
        any of them
}

rule php_webshell : webshell
{
    meta:
        description = "PHP that runs what it unpacks or what a visitor sends"
        severity = "high"
        reference = "https://attack.mitre.org/techniques/T1505/003/"
    strings:
        $php_1 = "<?php" nocase
        $php_2 = "<?="
        $unpacked = /\b(eval|assert)\s{0,8}\(\s{0,8}@?(base64_decode|gzinflate|gzuncompress|str_rot13)\s{0,8}\(/ nocase
        $sent = /\b(eval|assert|system|exec|shell_exec|passthru|popen)\s{0,8}\(\s{0,8}@?\$_(GET|POST|REQUEST|COOKIE)\b/ nocase
    condition:
        any of ($php_*) and ($unpacked or $sent)
}
