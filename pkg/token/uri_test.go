package token_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/token"
)

func TestURIsAreRead(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "pkcs11:", "pkcs11:"},
		{"RFC 7512, 3: an object", "pkcs11:object=my-pubkey;type=private", "pkcs11:object=my-pubkey;type=private"},
		{"RFC 7512, 3: attributes in any order", "pkcs11:object=my-key;type=private?pin-source=file:/etc/token",
			"pkcs11:object=my-key;type=private?pin-source=file:/etc/token"},
		{"RFC 7512, 3: with token and escapes",
			"pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;object=my-certificate;type=private;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin",
			"pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;serial=;model=1.0;object=my-certificate;type=private;id=%69%95%3E%5C%F4%BD%EC%91?pin-source=file:/etc/token_pin"},
		{"RFC 7512, 3: a module", "pkcs11:object=my-sign-key;type=private?module-name=mypkcs11", "pkcs11:object=my-sign-key;type=private?module-name=mypkcs11"},
		{"RFC 7512, 3: a module's directory", "pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1",
			"pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1"},
		{"RFC 7512, 3: a module by path and a PIN", "pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.?pin-value=the-pin",
			"pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc."},
		{"RFC 7512, 3: a slot", "pkcs11:slot-description=Sun%20Metaslot", "pkcs11:slot-description=Sun%20Metaslot"},
		{"RFC 7512, 3: the library", "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20Library;library-version=1.23",
			"pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-version=1.23;library-description=Soft%20Token%20Library"},
		{"RFC 7512, 3: a semicolon in a value", "pkcs11:token=My%20token%25%20created%20by%20Joe;object=my%3Bkey",
			"pkcs11:token=My%20token%25%20created%20by%20Joe;object=my%3Bkey"},
		{"RFC 7512, 3: octets of UTF-8", "pkcs11:token=A%20name%20with%20a%20substring%20%25%3B;object=%C3%A9", "pkcs11:token=A%20name%20with%20a%20substring%20%25%3B;object=%C3%A9"},
		{"a slot's number", "pkcs11:slot-id=327;object=x", "pkcs11:object=x;slot-id=327"},
		{"an ampersand before the ?", "pkcs11:token=a&b;object=x", "pkcs11:token=a&b;object=x"},
		{"a question mark and a slash behind it", "pkcs11:object=x?pin-source=/a?b", "pkcs11:object=x?pin-source=/a?b"},
		{"an id that is not UTF-8", "pkcs11:id=%ff%00a", "pkcs11:id=%FF%00%61"},
		{"the scheme in capitals", "PKCS11:object=x", "pkcs11:object=x"},
		{"an empty query", "pkcs11:object=x?", "pkcs11:object=x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := token.ParseURI(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := u.WithoutPIN().String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestURIsThatAreWrong(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"another scheme", "file:/etc/ca.key", "at character 1: it does not begin with pkcs11:"},
		{"no value", "pkcs11:token", `at character 8: "token" has no value`},
		{"an attribute twice", "pkcs11:object=a;object=b", `at character 17: a second "object"`},
		{"nothing between two semicolons", "pkcs11:object=a;;id=%01", "at character 17: an attribute is missing"},
		{"a semicolon at the end", "pkcs11:object=a;", "at character 17: an attribute is missing"},
		{"an unknown attribute", "pkcs11:label=a", `at character 8: there is no attribute "label"`},
		{"an attribute of the query", "pkcs11:module-path=/x", `at character 8: "module-path" belongs behind the ?, with & between attributes`},
		{"an attribute of the path", "pkcs11:object=a?token=b", `at character 17: "token" belongs before the ?, with ; between attributes`},
		{"a blank", "pkcs11:token=my token", `at character 16: " " must be written %20`},
		{"a slash", "pkcs11:object=a/b", `at character 16: "/" must be written %2F`},
		{"half an escape", "pkcs11:object=ab%2", "at character 17: % is not followed by two hexadecimal digits"},
		{"no escape", "pkcs11:object=%zz", "at character 15: % is not followed by two hexadecimal digits"},
		{"a signed escape", "pkcs11:object=%+1", "at character 15: % is not followed by two hexadecimal digits"},
		{"a certificate", "pkcs11:object=a;type=cert", `at character 17: type "cert" is no private key`},
		{"a slot that is no number", "pkcs11:slot-id=one", `at character 8: slot-id "one" is no number`},
		{"an empty id", "pkcs11:id=", "at character 8: the id is empty"},
		{"a text that is no text", "pkcs11:object=%ff", `at character 8: the value of "object" is not UTF-8`},
		{"a relative module", "pkcs11:object=a?module-path=lib.so", "at character 17: module-path is not absolute"},
		{"a PIN with an & in it", "pkcs11:object=a?pin-value=12&34", "at character 30: an attribute has no value"},
		{"a PIN with an & and a = in it", "pkcs11:object=a?pin-value=12&34=5", "at character 30: there is no such attribute"},
		{"a PIN behind a colon", "pkcs11:object=a?pin-value:1234", `at character 17: "pin-value" has no value`},
		{"a name with a directory", "pkcs11:object=a?module-name=a/b", "at character 17: module-name is a name without directory, lib and .so"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := token.ParseURI(c.text)
			var e *token.URIError
			if !errors.As(err, &e) || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestPINSources(t *testing.T) {
	for _, c := range []struct{ source, want, trouble string }{
		{"file:/etc/pin", "/etc/pin", ""}, {"file:///etc/pin", "/etc/pin", ""}, {"/etc/pin", "/etc/pin", ""},
		{"|/usr/bin/echo%20pin", "", "pin-source names a program; only files are read"},
		{"file:etc/pin", "", `pin-source "etc/pin" is no absolute path`},
	} {
		u, err := token.ParseURI("pkcs11:object=x?pin-source=" + c.source)
		if err != nil {
			t.Fatal(err)
		}
		got, err := u.PINFile()
		if got != c.want || (err == nil) != (c.trouble == "") || err != nil && err.Error() != c.trouble {
			t.Errorf("%s: %q, %v", c.source, got, err)
		}
	}
}

// FuzzParseURI holds that a URI which is read is written so that it is read as the same again, and that no error shows a PIN.
func FuzzParseURI(f *testing.F) {
	f.Add("pkcs11:token=a%20b;object=c;id=%01%02;slot-id=3;type=private?pin-source=file:/x&pin-value=geheim&module-path=/y&module-name=z")
	f.Add("pkcs11:;=?&%")
	f.Fuzz(func(t *testing.T, text string) {
		const pin = "zq9xkz"
		for _, with := range []string{"?pin-value=" + pin + "&", "?pin-value=1&" + pin, "?pin-value:" + pin} {
			if _, err := token.ParseURI("pkcs11:object=a" + with + text); err != nil && strings.Contains(err.Error(), pin) && !strings.Contains(text, pin) {
				t.Errorf("%s%s: %v", with, text, err)
			}
		}
		u, err := token.ParseURI(text)
		if err != nil {
			return
		}
		again, err := token.ParseURI(u.String())
		if err != nil {
			t.Fatalf("%q was read, and written as %q: %v", text, u.String(), err)
		}
		if again.String() != u.String() {
			t.Errorf("%q and %q", again.String(), u.String())
		}
		if again, _ := token.ParseURI(u.WithoutPIN().String()); again.PINValue != nil {
			t.Errorf("%q has a PIN", u.WithoutPIN().String())
		}
	})
}
