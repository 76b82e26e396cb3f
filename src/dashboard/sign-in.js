// The page that one came from, with the part of its address that a browser keeps to itself.

const to = document.querySelector("input[name=to]");
if (to && location.hash && !to.value.includes("#")) to.value += location.hash;
