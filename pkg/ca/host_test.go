package ca

import (
	"strings"
	"testing"
)

func TestHostsAsPeopleWriteThem(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, tt := range []struct{ in, want, err string }{
		{"kvm1", "kvm1", ""},
		{"KVM1.Example.COM.", "kvm1.example.com", ""},
		{"bücher.example", "xn--bcher-kva.example", ""},
		{"faß.example", "xn--fa-hia.example", ""},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", ""},
		{"node_1", "node_1", ""},
		{"*.example.com", "*.example.com", ""},
		{"192.0.2.1", "192.0.2.1", ""},
		{"::ffff:192.0.2.1", "192.0.2.1", ""},
		{"2001:DB8::1", "2001:db8::1", ""},
		{"[2001:db8::1]", "2001:db8::1", ""},
		{long + "." + long, long + "." + long, ""},
		{"1.2.3.example", "1.2.3.example", ""},
		{"", "", `"" is no host: it is empty`},
		{".", "", `"." is no host: it has an empty label`},
		{"a..b", "", `"a..b" is no host: it has an empty label`},
		{"a b", "", `"a b" is no host: it holds a character that no host name has`},
		{"a\x00b", "", `"a\x00b" is no host: it holds a character that no host name has`},
		{"-a", "", `"-a" is no host: a label begins or ends with a hyphen`},
		{long + "a", "", `"` + long + `a" is no host: a label is longer than 63 characters`},
		{strings.Repeat("a.", 127), "", ""},
		{"192.0.2.300", "", `"192.0.2.300" is no host: it looks like an IPv4 address and is none`},
		{"192.0.2", "", `"192.0.2" is no host: it looks like an IPv4 address and is none`},
		{"fe80::1%eth0", "", `"fe80::1%eth0" is no host: an address with a zone means something on one machine only`},
		{"2001:db8::g", "", `"2001:db8::g" is no host: it is neither an IPv6 address nor a name; a port does not belong here`},
		{"kvm1:16514", "", `"kvm1:16514" is no host: it is neither an IPv6 address nor a name; a port does not belong here`},
		{"qemu+tls://kvm1/system", "", `"qemu+tls://kvm1/system" is no host: it is a URI`},
		{"192.0.2.0/24", "", `"192.0.2.0/24" is no host: it is a network or a path, not one host`},
		{"[kvm1]", "", `"[kvm1]" is no host: brackets stand around an IPv6 address only`},
		{"[::1", "", `"[::1" is no host: brackets stand around an IPv6 address only`},
		{"*.com", "", `"*.com" is no host: a wildcard needs at least two labels after it`},
		{"a*.example.com", "", `"a*.example.com" is no host: a wildcard must be the whole first label`},
		{"*", "", `"*" is no host: a wildcard must be the whole first label`},
		{"\xff.example", "", `"\xff.example" is no host: it is not valid UTF-8`},
		{"a\u200d.example", "", `"a\u200d.example" is no host: it is no internationalized domain name: invalid label "a\u200d"`},
	} {
		name, addr, err := ParseHost(tt.in)
		got := name
		if addr.IsValid() {
			got = addr.String()
		}
		switch {
		case len(tt.in) == 254: // 253 characters and a dot
			if err != nil {
				t.Errorf("%q: %v", tt.in, err)
			}
		case tt.err == "" && (err != nil || got != tt.want):
			t.Errorf("%q: got %q, %v; want %q", tt.in, got, err, tt.want)
		case tt.err != "" && (err == nil || err.Error() != tt.err):
			t.Errorf("%q:\n got  %v\n want %s", tt.in, err, tt.err)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"kvm1", "*.example.com", "bücher.example", "::1", "[::1]", "192.0.2.1", "\xff", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, addr, err := ParseHost(s)
		if err != nil {
			return
		}
		if (name == "") != addr.IsValid() {
			t.Fatalf("%q: name %q, address %v", s, name, addr)
		}
		if addr.IsValid() {
			name = addr.String()
		}
		again, addr2, err := ParseHost(name)
		if addr2.IsValid() {
			again = addr2.String()
		}
		if err != nil || again != name {
			t.Errorf("%q gives %q, and that %q, %v", s, name, again, err)
		}
	})
}
