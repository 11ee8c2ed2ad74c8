#![no_main]

libfuzzer_sys::fuzz_target!(
    |data: &[u8]| validator_supervisor_fuzz::decoders::revocation_lists(data)
);
