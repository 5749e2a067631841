package ocispec

import (
	"encoding/json"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fillAll gives every field of a structure a value of its own.
func fillAll(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillAll(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fillAll(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillAll(v.Index(0), n)
		fillAll(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, k := range []string{"b\"", "a"} {
			e := reflect.New(v.Type().Elem()).Elem()
			fillAll(e, n)
			v.SetMapIndex(reflect.ValueOf(k), e)
		}
	case reflect.String:
		v.SetString("s" + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(-int64(*n))
	default:
		v.SetUint(uint64(*n))
	}
}

func TestAppendResources(t *testing.T) {
	n := 0
	var full specs.LinuxResources
	fillAll(reflect.ValueOf(&full).Elem(), &n)
	full.Devices = nil // never written
	for _, r := range []specs.LinuxResources{{}, {Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}}, full} {
		got := AppendResources(nil, &r)
		var back specs.LinuxResources
		if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%s\nreads as %+v, %v; want %+v", got, back, err, r)
		}
		if ours, err := DecodeResources(got); err != nil || !reflect.DeepEqual(*ours, r) && n == 0 {
			t.Errorf("%s: our own reader says %v", got, err)
		}
	}
}
