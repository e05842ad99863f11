rule private_key : secret
{
    meta:
        description = "A private key as text (PEM)"
        severity = "high"
        reference = "RFC 7468"
    strings:
        $begin = /-----BEGIN ([A-Z0-9]{2,10} ){0,2}PRIVATE KEY( BLOCK)?-----/
    condition:
        $begin
}
