package uri

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestItemsKeepTheirShape(t *testing.T) {
	o := Options{Root: true, Settings: Fixed{"uri_aliases": {"hail=qemu+ssh://admin@hail:2222/system"}}}
	for _, c := range []struct{ uri, want string }{
		{"qemu://server7/system?foo=1", `{"uri":"qemu://server7/system?foo=1","error":null,"driver":"qemu","transport":"tls","user":null,"host":"server7",` +
			`"port":16514,"path":"/system","params":[{"name":"foo","value":"1"}],"remote_name":"qemu:///system?foo=1","alias_of":null,` +
			`"files":{"ca":"/etc/pki/CA/cacert.pem","crl":"/etc/pki/CA/cacrl.pem","cert":"/etc/pki/libvirt/clientcert.pem",` +
			`"key":"/etc/pki/libvirt/private/clientkey.pem"},"socket":null,"argv":null,"findings":["uri-parameter-unknown"]}`},
		{"hail", `{"uri":"hail","error":null,"driver":"qemu","transport":"ssh","user":"admin","host":"hail","port":2222,"path":"/system","params":[],` +
			`"remote_name":"qemu:///system","alias_of":"qemu+ssh://admin@hail:2222/system","files":{"ca":null,"crl":null,"cert":null,"key":null},` +
			`"socket":"/var/run/libvirt/libvirt-sock","argv":["ssh","-p","2222","-l","admin","-T","-e","none","--","hail","sh -c 'which virt-ssh-helper ` +
			`1>/dev/null 2>&1; if test $? = 0; then     virt-ssh-helper 'qemu:///system'; else    if 'nc' -q 2>&1 | grep \"requires an argument\" >/dev/null ` +
			`2>&1; then ARG=-q0;else ARG=;fi;'nc' $ARG -U /var/run/libvirt/libvirt-sock; fi'"],"findings":[]}`},
		{"test:///default", `{"uri":"test:///default","error":null,"driver":"test","transport":"client","user":null,"host":null,"port":null,"path":"/default",` +
			`"params":[],"remote_name":"","alias_of":null,"files":{"ca":null,"crl":null,"cert":null,"key":null},"socket":null,"argv":null,` +
			`"findings":["uri-served-in-client"]}`},
		{"qemu://system", `{"uri":"qemu://system","error":"internal error: invalid URI qemu://system (maybe you want qemu:///system)","driver":"","transport":"",` +
			`"user":null,"host":null,"port":null,"path":"","params":[],"remote_name":"","alias_of":null,"files":{"ca":null,"crl":null,"cert":null,"key":null},` +
			`"socket":null,"argv":null,"findings":["uri-missing-slash"]}`},
	} {
		b, err := json.Marshal(NewItem(c.uri, o, nil))
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		ids := []any{}
		for _, f := range got["findings"].([]any) {
			ids = append(ids, f.(map[string]any)["rule"])
		}
		got["findings"] = ids
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.uri, diff)
		}
	}
}
