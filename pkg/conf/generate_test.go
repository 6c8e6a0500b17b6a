package conf

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A generator writes configuration files from the grammar: mostly right ones with a few faults of syntax, type, range or
// value. Equal seeds give equal files.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 1))} }

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g generator) odds(n int) bool { return g.IntN(n) == 0 }

func (g generator) blanks() string {
	return g.one("", "", " ", " ", "\t", "  ")
}

func (g generator) comment() string { return "#" + g.one("", " a", "a=1", "\t\"", " [", "é") }

func (g generator) separator() string {
	switch g.IntN(10) {
	case 0:
		return ";"
	case 1:
		return " ; "
	case 2:
		return "\r\n"
	case 3:
		return " " + g.comment() + "\n"
	case 4:
		return "\n\n  \n"
	}
	return "\n"
}

func (g generator) integer() string {
	return g.one("0", "1", "2", "5", "19", "20", "112", "-1", "-0", "+1", "007", "2147483647", "2147483648", "-2147483648",
		"-2147483649", "4294967295", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551615",
		"18446744073709551617", "99999999999999999999")
}

func (g generator) text() string {
	s := g.one("", "x", "none", "C=GB,O=x y,CN=*", "/etc/pki/x", "é", "\xff", "a\\b", "# no comment", "[1]", "a=1;b", "0777")
	switch g.IntN(4) {
	case 0:
		return "'" + s + "'"
	case 1:
		return `"""` + s + g.one("", "\n", "\n\n", `"`, `""`) + `"""`
	}
	return `"` + s + `"`
}

func (g generator) inList() string { return g.one("", "", " ", "\n", "\n  ", "\r\n\t") }

func (g generator) list(depth int) string {
	var b strings.Builder
	b.WriteString("[" + g.inList())
	for i := range g.IntN(4) {
		if i > 0 {
			b.WriteString(g.inList() + "," + g.inList())
		}
		if depth < 3 && g.odds(8) {
			b.WriteString(g.value(depth + 1))
		} else {
			b.WriteString(g.text())
		}
	}
	if b.Len() > 2 && g.odds(4) {
		b.WriteString(",")
	}
	b.WriteString(g.inList() + "]")
	return b.String()
}

func (g generator) value(depth int) string {
	switch g.IntN(3) {
	case 0:
		return g.integer()
	case 1:
		return g.text()
	}
	return g.list(depth)
}

// special are values that go beyond the type, right ones and wrong ones.
var special = map[string][]string{
	"auth_unix_rw":          {`"none"`, `"sasl"`, `"polkit"`, `"None"`, `""`},
	"auth_unix_ro":          {`"none"`, `"sasl"`, `"polkit"`, `'root'`},
	"auth_tcp":              {`"none"`, `"sasl"`, `"polkit"`, `"x y"`},
	"auth_tls":              {`"none"`, `"sasl"`, `"polkit"`, `"NONE"`},
	"access_drivers":        {`[]`, `["none"]`, `["polkit"]`, `["nosuch"]`, `["none","x"]`, `[""]`, `[1]`},
	"host_uuid":             {`"4a2b6a4e-1c3f-4f0e-9d4e-0123456789ab"`, `"0"`, `"11111111-1111-1111-1111-111111111111"`, `""`, `" 4A2b6a4e1c3f4f0e9d4e0123456789ab "`, `"4a2b6a4e-1c3f-4f0e-9d4e-0123456789abc"`, `"0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"`, `"4-a2b6a4e-1c3f-4f0e-9d4e-0123456789ab"`},
	"host_uuid_source":      {`"smbios"`, `"machine-id"`, `"dmi"`, `""`},
	"log_level":             {"0", "3", "4", "5", "4294967295"},
	"log_filters":           {`""`, `"4:x"`, `"4:x 4:y"`, `"x"`, `"9:x"`, `"4:"`, `"4:+"`, `"+4:x"`, `"-1:x"`, `"0:x"`, `"4:a:b"`, `"4:a  q"`, `"4:a	5:b"`},
	"log_outputs":           {`"3:stderr"`, `""`, `"3:stderr "`, `"x"`, `"3:x"`, `"5:stderr"`, `"3:stderr:x"`, `"3:syslog"`, `"3:file"`, `"3:journald:x"`, `"3:"`, `":stderr"`, `"3:syslog:a:b"`},
	"tcp_min_ssf":           {"112", "256", "111", "0"},
	"max_workers":           {"0", "1", "20"},
	"max_clients":           {"0", "19", "20", "21", "5000"},
	"max_anonymous_clients": {"0", "20", "5000", "5001"},
	"unix_sock_group":       {`"root"`, `"nosuchgroup"`, `"+0"`, `"+root"`, `"12"`, `"4294967296"`, `""`},
	"unix_sock_ro_perms":    {`"0777"`, `"0"`, `"rwx"`, `"8"`, `""`, `" 07"`, `"07 "`},
	"unix_sock_rw_perms":    {`"0770"`, `"-1"`, `"0x1"`, `"17777777777"`, `"20000000000"`},
	"unix_sock_admin_perms": {`"0700"`, `"+7"`, `"u+x"`, `"1_0"`},
	"tls_allowed_dn_list":   {`["C=GB,*"]`, `[]`, `"C=GB,*"`, `["a",1]`, `[["a"]]`},
}

// rightValue gives a value of the setting's type that libvirtd takes, so that faults do not hide behind faults.
func (g generator) rightValue(s Setting) string {
	switch s.Type {
	case TypeBool:
		return g.one("0", "1", "+1", "00")
	case TypeUint:
		if strings.HasSuffix(s.Key, "_workers") { // the daemon would start so many threads
			return g.one("1", "12")
		}
		return g.one("1000", "112", "4294967295")
	case TypeInt:
		return g.one("5", "-1", "2147483647", "-2147483648")
	case TypeStrings:
		return g.one("[]", `["x"]`, "['x',\n \"y\",]")
	case TypeString:
		return g.one(`"x"`, `'/x'`, `"""x"""`)
	}
	return g.value(0)
}

func (g generator) statement() string {
	settings := Settings(Libvirtd, Release{})
	s := settings[g.IntN(len(settings))]
	key, value := s.Key, g.rightValue(s)
	values, hasSpecial := special[key]
	switch {
	case hasSpecial:
		value = values[0]
		if g.odds(3) {
			value = values[g.IntN(len(values))]
		}
	case g.odds(12):
		value = g.value(0)
	}
	if strings.HasSuffix(key, "_workers") && !hasSpecial && strings.ContainsAny(value[:1], "+0123456789") {
		value = g.one("7", "4294967296") // never so many threads that the daemon does not come to its end
	}
	if g.odds(6) {
		key = g.one("a", "tls_no_verify_cert", "A1_b", "listen_TLS", "mdns_adv")
		value = g.value(0)
	}
	return g.blanks() + key + g.blanks() + "=" + g.blanks() + value
}

// file gives one file.
func (g generator) file() []byte {
	var b strings.Builder
	if g.odds(4) {
		b.WriteString(g.comment() + "\n")
	}
	for range g.IntN(7) {
		b.WriteString(g.statement())
		b.WriteString(g.separator())
	}
	s := b.String()
	if g.odds(3) {
		s = strings.TrimRight(s, "\n")
	}
	out := []byte(s)
	if len(out) > 0 && g.odds(3) { // a fault of syntax
		i := g.IntN(len(out))
		switch g.IntN(4) {
		case 0:
			out = append(out[:i:i], out[i+1:]...)
		case 1:
			out = append(out[:i:i], append([]byte(g.one("\"", "'", "[", "]", ",", ";", "#", "=", "\n", "\r", " ", "-", "x", "1", "\"\"\"", "\x00", "\x0b", "é")), out[i:]...)...)
		case 2:
			out = out[:i]
		case 3:
			j := i + g.IntN(len(out)-i)
			out = append(out[:i:i], out[j:]...)
		}
	}
	return out
}

// describe shows a file in a test's message.
func describe(b []byte) string { return fmt.Sprintf("%q", b) }
