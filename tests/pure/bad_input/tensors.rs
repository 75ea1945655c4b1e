//! Groups, tensors and addresses.

use instep::{AdamW, Buffer, Dtype, Error, Optimizer, Sgd, Stream, Tensor};

use super::{builder, refused};
use crate::owned::{Pair, buffers, tensor};

/// Builds an SGD optimizer of `tensors`.
fn build(tensors: &[Tensor]) -> Result<Optimizer, Error> {
    builder().group(Sgd::new(0.1), tensors).build()
}

#[test]
fn an_optimizer_needs_groups_and_a_group_needs_tensors() {
    assert_eq!(refused(builder().build()), ["groups", "empty", "an optimizer needs at least one group"]);
    let pair = Pair::small();
    let with_an_empty_one = builder().group(Sgd::new(0.1), &[pair.tensor()]).group(Sgd::new(0.1), &[]);
    assert_eq!(refused(with_an_empty_one.build()), ["groups[1].tensors", "empty", "a group needs at least one tensor"]);
}

#[test]
fn addresses_are_not_null_aligned_and_within_memory() {
    let pair = Pair::small();
    let (param, grad) = (pair.param.address(), pair.grad.address());
    let [argument, value, rule] = refused(build(&[tensor(0, grad, 4)]));
    assert_eq!((&*argument, &*value), ("groups[0].tensors[0].param.address", "null"));
    assert_eq!(rule, "4 elements are to be there");
    assert_eq!(refused(build(&[tensor(param, 0, 4)]))[..2], ["groups[0].tensors[0].grad.address", "null"]);
    for off in [1, 2, 3] {
        let [argument, value, rule] = refused(build(&[pair.tensor(), tensor(param + off, grad, 4)]));
        assert_eq!(argument, "groups[0].tensors[1].param.address");
        assert_eq!((value, &*rule), (format!("{:#x}", param + off), "f32 elements are aligned to 4 bytes"));
        assert_eq!(refused(build(&[tensor(param, grad + off, 4)]))[0], "groups[0].tensors[0].grad.address");
    }
    for len in [u64::MAX, u64::MAX / 4, 1 << 62] {
        let [argument, value, _] = refused(build(&[tensor(param, grad, len)]));
        assert_eq!((&*argument, value), ("groups[0].tensors[0].param.len", len.to_string()));
    }
}

#[test]
fn param_and_grad_have_one_length_and_types_that_are_stored() {
    let pair = Pair::small();
    let (param, grad) = (pair.param.address(), pair.grad.address());
    let shorter = buffers(Buffer::f32(param, 4), Buffer::f32(grad, 3));
    assert_eq!(refused(build(&[shorter])), ["groups[0].tensors[0].grad.len", "3", "param has 4 elements"]);
    let empty = buffers(Buffer::f32(param, 0), Buffer::f32(grad, 4));
    assert_eq!(refused(build(&[empty]))[..2], ["groups[0].tensors[0].grad.len", "4"]);
    let double = |address| Buffer { dtype: Dtype::F64, ..Buffer::f32(address, 2) };
    let [argument, value, rule] = refused(build(&[buffers(double(param), Buffer::f32(grad, 2))]));
    assert_eq!((&*argument, &*value), ("groups[0].tensors[0].param.dtype", "f64"));
    assert_eq!(rule, "must be f32, bf16 or f16");
    assert_eq!(refused(build(&[buffers(Buffer::f32(param, 2), double(grad))]))[0], "groups[0].tensors[0].grad.dtype");
}

#[test]
fn a_parameter_shares_memory_with_no_parameter_and_no_gradient() {
    let memory = Pair::new(&[1.0; 64], &[1.0; 64]);
    let (param, grad) = (memory.param.address(), memory.grad.address());
    // Elements `at..at + len` of the parameters, with gradients at the same places.
    let part = |at: u64, len: u64| tensor(param + 4 * at, grad + 4 * at, len);
    let overlap = |tensors: &[Tensor]| refused(build(tensors));

    let [argument, value, rule] = overlap(&[part(0, 8).name("first"), part(0, 8).name("second")]);
    assert_eq!(argument, "param of tensor \"second\"");
    assert_eq!((value, &*rule), (format!("{param:#x}"), "it overlaps the param of tensor \"first\""));
    for (a, b) in [((0, 8), (7, 8)), ((7, 8), (0, 8)), ((0, 16), (4, 4)), ((4, 4), (0, 16)), ((0, 1), (0, 64))] {
        let [argument, _, rule] = overlap(&[part(a.0, a.1), part(32, 2), part(b.0, b.1)]);
        assert!(argument.starts_with("param of tensor \"0."), "{a:?} and {b:?}: {argument} {rule}");
    }
    let in_two_groups = builder().group(Sgd::new(0.1), &[part(0, 8)]).group(AdamW::new(0.1), &[part(4, 8)]);
    assert_eq!(refused(in_two_groups.build())[0], "param of tensor \"1.0\"");

    // A gradient in its own parameter, in another's, and around another's.
    let own = tensor(param, param, 8);
    assert_eq!(overlap(&[own])[0], "grad of tensor \"0.0\"");
    let within = [part(0, 16), tensor(param + 4 * 16, param + 4 * 4, 8)];
    assert_eq!(overlap(&within)[0], "grad of tensor \"0.1\"");
    let around = [part(8, 2), tensor(param + 4 * 32, param + 4 * 4, 16)];
    assert_eq!(overlap(&around)[0], "grad of tensor \"0.1\"");

    // Neighbours touch and share nothing, gradients may be shared, and an empty tensor is nowhere.
    let shared_grad = tensor(param + 4 * 40, grad, 8);
    build(&[part(0, 8), part(8, 8), shared_grad, tensor(param, param, 0)]).unwrap();
}

#[test]
fn names_are_unique() {
    let (a, b) = (Pair::small(), Pair::small());
    let [argument, value, rule] = refused(build(&[a.tensor().name("w"), b.tensor().name("w")]));
    assert_eq!((&*argument, &*value), ("groups[0].tensors[1].name", "\"w\""));
    assert_eq!(rule, "another tensor has that name");
    let taken = refused(build(&[a.tensor().name("0.1"), b.tensor()]));
    assert_eq!(taken[..2], ["groups[0].tensors[1].name", "\"0.1\""]);
}

#[test]
fn earlier_updates_leave_the_counter_room() {
    let pair = Pair::small();
    let [argument, value, _] = refused(build(&[pair.tensor().updates((1 << 62) + 1)]));
    assert_eq!((&*argument, &*value), ("groups[0].tensors[0].updates", "4611686018427387905"));
    build(&[pair.tensor().updates(1 << 62)]).unwrap();
}

#[test]
fn more_than_2_30_tiles_are_refused_without_touching_the_memory() {
    // Nothing is there: elements that are never read.
    let large = |i: u64| tensor(1 << 12 | i << 44, 1 << 60 | i << 44, 1 << 39);
    let [argument, value, rule] = refused(build(&(0..5).map(large).collect::<Vec<_>>()));
    assert_eq!((&*argument, &*value), ("tensors", "1342177280 tiles in all"));
    assert_eq!(rule, "one optimizer takes at most 1073741824 tiles of 2048 elements");
    let [argument, value, rule] = refused(build(&[tensor(1 << 12, 1 << 50, 1 << 44)]));
    assert_eq!((&*argument, &*value), ("groups[0].tensors[0].param.len", "17592186044416"));
    assert_eq!(rule, "a tensor has at most 549755813888 elements");
}

#[test]
fn found_inf_is_an_aligned_address() {
    let pair = Pair::small();
    for address in [0, 2, 4_097] {
        // SAFETY: the address never gets past `build`.
        let builder = unsafe { builder().found_inf(address) };
        let error = refused(builder.group(Sgd::new(0.1), &[pair.tensor()]).build());
        assert_eq!(
            error,
            ["found_inf".into(), format!("{address:#x}"), "must be the 4-byte aligned address of an f32".into()]
        );
    }
}

#[test]
fn a_build_that_fails_changes_nothing() {
    let (good, bad) = (Pair::new(&[1.5; 9], &[2.0; 9]), Pair::small());
    let bad_length = buffers(Buffer::f32(bad.param.address(), 4), Buffer::f32(bad.grad.address(), 2));
    let groups = || builder().group(AdamW::new(0.1), &[good.tensor()]);
    refused(groups().group(Sgd::new(0.1), &[bad_length]).build());
    refused(groups().group(Sgd::new(-0.1), &[bad.tensor()]).build());
    assert_eq!((good.param.read(), good.grad.read()), (vec![1.5; 9], vec![2.0; 9]));
    assert_eq!((bad.param.read(), bad.grad.read()), (vec![1.0; 4], vec![1.0; 4]));
    // The same tensors may be registered again.
    groups().build().unwrap().step(&Stream::host()).unwrap();
    assert_ne!(good.param.read(), [1.5; 9]);
}
