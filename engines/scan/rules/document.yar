rule office_macro_runs_by_itself : office macro
{
    meta:
        description = "An Office document in the old format whose macro runs when it is opened, and starts or fetches something"
        severity = "high"
        reference = "https://attack.mitre.org/techniques/T1137/"
    strings:
        $project = "VBA" ascii wide
        $runs_1 = "AutoOpen" nocase ascii wide
        $runs_2 = "Auto_Open" nocase ascii wide
        $runs_3 = "AutoExec" nocase ascii wide
        $runs_4 = "Document_Open" nocase ascii wide
        $runs_5 = "Workbook_Open" nocase ascii wide
        $does_1 = "WScript.Shell" nocase ascii wide
        $does_2 = "Shell.Application" nocase ascii wide
        $does_3 = "URLDownloadToFile" nocase ascii wide
        $does_4 = "MSXML2.XMLHTTP" nocase ascii wide
        $does_5 = "powershell" nocase ascii wide
    condition:
        uint32be(0) == 0xD0CF11E0 and $project and any of ($runs_*) and any of ($does_*)
}

rule office_with_macro : office macro
{
    meta:
        description = "An Office document in the new format that holds macros"
        severity = "medium"
        reference = "https://learn.microsoft.com/deployoffice/security/internet-macros-blocked"
    strings:
        $content_types = "[Content_Types].xml"
        $project = "vbaProject.bin"
    condition:
        uint32be(0) == 0x504B0304 and all of them
}

rule pdf_acts_when_opened : pdf
{
    meta:
        description = "A PDF that runs JavaScript, or starts something, when it is opened"
        severity = "medium"
        reference = "ISO 32000-2, 12.6"
    strings:
        $header = "%PDF-"
        $trigger_1 = "/OpenAction"
        $trigger_2 = /\/AA\s*<</
        $action_1 = /\/JavaScript\b/
        $action_2 = /\/JS\s*[(<\d]/
        $action_3 = /\/Launch\b/
    condition:
        $header in (0..1024) and any of ($trigger_*) and any of ($action_*)
}
